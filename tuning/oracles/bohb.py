"""A model proposes, asynchronous successive halving allots: BOHB's division of labour, with a model of all rungs.

Sources: Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML 2018; Klein,
Tiao, Lienart, Archambeau, Seeger, "Model-based Asynchronous Hyperparameter and Neural Architecture Search"
(arXiv:2003.10865, 2020) for asynchronous halving and a Gaussian process over all rungs in place of BOHB's densities,
which use one rung alone. The model is that of `tuning.oracles.curve_process`.
"""

from __future__ import annotations

from typing import Any

from tuning.oracles.curve_model import CurveModelOracle
from tuning.oracles.promoting import Decision


class BohbOracle(CurveModelOracle):
    """Promotes as `AshaOracle`; a new configuration has the largest expected improvement at the last rung.

    See `CurveModelOracle` for the arguments.
    """

    def decide(self, number: int) -> Decision | None:
        return self.promotion() or super().decide(number)


def build(objective, **settings: Any) -> BohbOracle:
    """The row of `STRATEGIES`."""
    return BohbOracle(objective, **settings)
