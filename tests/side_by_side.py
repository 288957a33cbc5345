"""What tests of comparisons have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from app.backend.engines.scripted import Call, Item
from app.backend.records import Comparison, Side
from app.backend.service import Backend
from tests.asking import answer

DIRECT, NAIVE = Side("direct"), Side("naive")
HIDDEN = ("naive", "direct", "retrieval_topk", "scripted", "shelf", "generate")


def by_temperature(script: dict[float, Sequence[Item]]) -> Callable[[Call], Sequence[Item]]:
    """What to answer by the temperature that is asked for: columns run together, in no order."""
    return lambda call: script[call.sampling.temperature]


def heated(*temperatures: float) -> list[Side]:
    return [Side("direct", params={"temperature": t}) for t in temperatures]


async def compared(
    backend: Backend, sides: Sequence[Side] = (DIRECT, NAIVE), *, blind: bool = False, owner: str = "ann"
) -> Comparison:
    """A comparison whose answers have all ended."""
    ticket = await backend.comparisons.begin(owner, "How tall is the Eiffel Tower?", sides, blind=blind)
    await asyncio.gather(*(answer(backend, generation, owner) for generation in ticket.generation_ids))
    return await backend.comparisons.get(owner, ticket.comparison_id)
