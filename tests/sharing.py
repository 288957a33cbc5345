"""What tests of share links have in common."""

from __future__ import annotations

import pytest

from app.backend.errors import NotFound
from app.backend.events import Done
from app.backend.records import Side
from app.backend.service import Backend, Question


async def talk(backend: Backend, *questions: str, owner: str = "ann") -> str:
    """A conversation in which these were asked and answered."""
    conversation = (await backend.create_conversation(owner)).id
    for question in questions:
        ticket = await backend.ask(owner, conversation, Question(question))
        assert isinstance([r async for r in backend.events(owner, ticket.generation_id)][-1].event, Done)
    return conversation


async def refusal(backend: Backend, token: str) -> str:
    with pytest.raises(NotFound) as refused:
        await backend.shares.opened(token)
    return refused.value.message


async def compared(backend: Backend, *, blind: bool = False) -> str:
    ticket = await backend.comparisons.begin("ann", "Which?", (Side("naive"), Side("direct")), blind=blind)
    for generation_id in ticket.generation_ids:
        [r async for r in backend.events("ann", generation_id)]
    return ticket.comparison_id
