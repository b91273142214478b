"""Finds the sources of random numbers in a TensorFlow graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuning.trials.randomness import Randomness
from tuning.trials.runtime import SEED_STATE, seed_states

if TYPE_CHECKING:
    import keras

#: Operations that draw random numbers although their names do not contain "Random".
_DRAWING = ("Multinomial", "TruncatedNormal")


def found_in(graph: Any, model: keras.Model) -> Randomness:
    """Returns the sources of randomness of a training step of `model`, given its graph."""
    own = [*model.variables, *model.optimizer.variables, *model.metrics_variables, *seed_states(model)]
    known = {id(variable.value) for variable in own}
    foreign = {id(variable): variable for variable in graph.variables if id(variable) not in known}
    states = [variable for variable in foreign.values() if SEED_STATE in variable.name]
    others = sorted(variable.name for variable in foreign.values() if SEED_STATE not in variable.name)
    return Randomness(unkeyed=tuple(sorted(_unkeyed(graph))), foreign=tuple(others), states=tuple(states))


def _unkeyed(graph: Any) -> set[str]:
    found = {operation.type for operation in graph.get_operations() if _draws(operation.type)}
    for function in graph.as_graph_def().library.function:
        found |= {node.op for node in function.node_def if _draws(node.op)}
    return found


def _draws(kind: str) -> bool:
    """Returns whether operations of a kind draw from an internal state that no variable holds."""
    return not kind.startswith("Stateless") and ("Random" in kind or kind.endswith(_DRAWING))
