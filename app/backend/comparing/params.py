"""How the columns were made, side by side.

Invariant: one row for each thing that can be set, in the order of the first column that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.backend.records import Generation
from app.backend.types import ParamValue
from app.settings import MAIN_ENGINE


@dataclass(frozen=True, slots=True)
class ParamRow:
    """A value in each column; None where the method has no such parameter. Engines are there when one was named."""

    name: str
    values: tuple[ParamValue | None, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def compare_params(columns: Sequence[Generation]) -> tuple[ParamRow, ...]:
    several = any(g.engine for g in columns)
    made = [_made(g, several) for g in columns]
    names = dict.fromkeys(name for values in made for name in values)
    return tuple(ParamRow(name, tuple(values.get(name) for values in made)) for name in names)


def _made(g: Generation, several: bool) -> dict[str, ParamValue]:
    engine = {"engine": g.engine or MAIN_ENGINE} if several else {}
    return {"pipeline": g.pipeline, "corpus": g.corpus, **engine, "model": g.model, **g.params}
