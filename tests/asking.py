"""A question to a backend and its whole log, in a line."""

from app.backend.events import Recorded
from app.backend.service import Backend, Question


async def chat(backend: Backend, owner: str = "ann") -> str:
    return (await backend.create_conversation(owner)).id


async def answer(backend: Backend, generation_id: str, owner: str = "ann") -> list[Recorded]:
    return [r async for r in backend.events(owner, generation_id)]


async def ask(backend: Backend, text: str, conversation: str | None = None, **fields: object) -> list[Recorded]:
    conversation = conversation or await chat(backend)
    ticket = await backend.ask("ann", conversation, Question(text, **fields))  # type: ignore[arg-type]
    return await answer(backend, ticket.generation_id)
