"""What is rated.

Invariant: two columns are the same contender exactly when the same method ran with the same parameters on the same
model, and on the same corpus where that is all that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.backend.records import Generation
from app.backend.types import Params
from app.settings import MAIN_ENGINE

_PLACES: tuple[Callable[[Generation], str], ...] = (
    lambda made: made.corpus if made.corpus_version else "",  # a method that searches nothing has no version
    lambda made: made.model,
    lambda made: made.engine or MAIN_ENGINE,
)


def contender(pipeline: str, params: Params, defaults: Params) -> str:
    """The name in the ratings: the method's, with the parameters that differ from the defaults in brackets."""
    own = [f"{name}={value}" for name, value in sorted(params.items()) if value != defaults.get(name)]
    return f"{pipeline}({', '.join(own)})" if own else pipeline


def contenders(columns: Sequence[Generation], defaults_of: Callable[[Generation], Params]) -> tuple[str, ...]:
    """The names of the columns. Where they coincide, the corpus tells them apart, or else the model, or the engine."""
    names = [contender(made.pipeline, made.params, defaults_of(made)) for made in columns]
    for place in _PLACES:
        ran = list(zip(names, columns, strict=True))
        places = {name: {place(made) for other, made in ran if other == name} for name in names}
        names = [told_apart(name, made.pipeline, place(made)) if len(places[name]) > 1 else name for name, made in ran]
    return tuple(names)


def told_apart(name: str, pipeline: str, place: str) -> str:
    """The name of a contender with the place it ran in, if it does not tell it yet: `naive@wiki(temperature=0.7)`."""
    rest = name.removeprefix(pipeline)
    return name if not place or place in rest.partition("(")[0].split("@") else f"{pipeline}@{place}{rest}"
