"""What is rated, and what an answer cost.

Invariant: two columns are the same contender exactly when the same method ran with the same parameters.
"""

from __future__ import annotations

from app.backend.records import Generation
from app.backend.types import Params

_NOT_THE_ENGINE = frozenset({"queue", "retrieve", "cite", "total"})


def contender(pipeline: str, params: Params, defaults: Params) -> str:
    """The name in the ratings: the method's, with the parameters that differ from the defaults in brackets."""
    own = [f"{name}={value}" for name, value in sorted(params.items()) if value != defaults.get(name)]
    return f"{pipeline}({', '.join(own)})" if own else pipeline


def engine_seconds(generation: Generation) -> float:
    """Seconds in which the engine worked on an answer, others beside it."""
    stages = generation.timings_ms.items()
    return round(sum(ms for stage, ms in stages if stage not in _NOT_THE_ENGINE) / 1000, 3)
