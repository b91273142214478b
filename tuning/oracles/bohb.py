"""A model proposes, asynchronous successive halving allots: BOHB's division of labour, with a model of all rungs.

Sources: Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML 2018; Klein,
Tiao, Lienart, Archambeau, Seeger, "Model-based Asynchronous Hyperparameter and Neural Architecture Search"
(arXiv:2003.10865, 2020) for asynchronous halving and a Gaussian process over all rungs in place of BOHB's densities,
which use one rung alone. The model is that of `tuning.oracles.curve_process`. From which rung on is halved follows from
what the rungs have told (Li et al., "Hyper-Tune", arXiv:2201.06834, 2022).
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuning.oracles.curve_model import CurveModelOracle


class BohbOracle(CurveModelOracle):
    """What `CurveModelOracle.by_model` decides, and nothing else. See there, and its class for the arguments."""


def build(objective: keras_tuner.Objective | str | None, **settings: Any) -> BohbOracle:
    """The row of `STRATEGIES`."""
    return BohbOracle(objective, **settings)
