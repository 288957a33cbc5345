"""A conversation as a file to keep: Markdown to read, JSON to work with. Pure functions.

Invariant: every number that an answer cites is in the list of sources below it, and no viewer of the Markdown finds
HTML or images in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from app.api import schemas
from app.backend.records import Conversation, Generation, Turn

_ENDINGS = {
    "stopped": "*Stopped; this is what had been written.*",
    "interrupted": "*Interrupted; this is what had been written.*",
    "queued": "*Waiting for its answer when this was exported.*",
    "running": "*Still being written when this was exported.*",
}
_MARKS = re.compile(r"([\\<\[\]])")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Turns the direction of what comes after it."""
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def markdown(conversation: Conversation) -> str:
    """The branch that is shown, with the chosen answers and their sources."""
    parts = [f"# {inert(line(conversation.title)) or 'Conversation'}", f"*{day(conversation.created_at)}*"]
    for turn in conversation.path():
        parts.extend(_turn(turn))
    return "\n\n".join(parts) + "\n"


def json(conversation: Conversation) -> str:
    """The whole tree, with every alternative."""
    return schemas.ConversationOut.of(conversation).model_dump_json(indent=2)


def file_stem(title: str) -> str:
    """A file name made of the title's letters and digits, in any script."""
    return re.sub(r"[\W_]+", "-", title).strip("-")[:60] or "conversation"


def _turn(turn: Turn) -> Iterator[str]:
    generation = turn.chosen
    yield f"## {inert(line(turn.question))}"
    if line(turn.question) != turn.question:
        yield "\n".join(f"> {line}".rstrip() for line in inert(turn.question).splitlines())
    yield from told(generation)
    yield f"*{line(' · '.join(_origin(generation)))}*"
    if generation.passages:
        yield "### Sources"
        yield "\n".join(sources(generation))


def told(generation: Generation) -> Iterator[str]:
    """The words of an answer, and how it ended where that was not well."""
    if generation.answer:
        yield _quiet(generation.answer)
    if generation.status == "failed":
        yield f"*Failed: {line(generation.error_message)}*"
    elif generation.status in _ENDINGS:
        yield _ENDINGS[generation.status]


def _origin(generation: Generation) -> Iterator[str]:
    if not generation.pipeline:
        yield "not told before the vote"
        return
    if generation.engine:
        yield f"engine {generation.engine}"
    yield generation.model
    yield f"pipeline {generation.pipeline}"
    if generation.passages:
        yield f"corpus {generation.corpus}"


def sources(generation: Generation) -> Iterator[str]:
    cited = {citation.n for citation in generation.citations}
    for n, passage in enumerate(generation.passages, 1):
        mark = "" if n in cited else ", not cited"
        title = inert(line(passage.title) or passage.id)
        where = ", ".join(filter(None, (passage.corpus, inert(passage.id)))) + mark
        yield f"{n}. **{title}** ({where}): {inert(line(passage.text))}"


def inert(text: str) -> str:
    """Text of strangers without HTML, links or images for whatever viewer opens the file."""
    return _MARKS.sub(r"\\\1", _TURNS.sub("", text))


def _quiet(answer: str) -> str:
    """An answer with its Markdown, but no HTML and no images: neither code nor anything from elsewhere is loaded."""
    return _TAG.sub("&lt;", _TURNS.sub("", answer)).replace("![", "!&#91;")


def line(text: str) -> str:
    return " ".join(text.split())


def day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
