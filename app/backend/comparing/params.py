"""How the columns were made, side by side.

Invariant: one row for each thing that can be set, in the order of the first column that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.backend.records import Generation
from app.backend.types import ParamValue


@dataclass(frozen=True, slots=True)
class ParamRow:
    """A value in each column; None where the method has no such parameter."""

    name: str
    values: tuple[ParamValue | None, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def compare_params(columns: Sequence[Generation]) -> tuple[ParamRow, ...]:
    made: list[dict[str, ParamValue]] = [
        {"pipeline": g.pipeline, "corpus": g.corpus, "model": g.model, **g.params} for g in columns
    ]
    names = dict.fromkeys(name for values in made for name in values)
    return tuple(ParamRow(name, tuple(values.get(name) for values in made)) for name in names)
