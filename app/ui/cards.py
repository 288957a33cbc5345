"""The sources of an answer, as the panel beside it shows them.

Invariant: every passage that was found has a card, in the order of its number; what is marked in it was cited.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from app.backend.types import Passage, Span
from app.ui import markup
from app.ui.view import ViewState


@dataclass(frozen=True, slots=True)
class Card:
    """A source as the panel shows it."""

    n: int
    passage: Passage
    text: Markup
    cited: bool


def cards(state: ViewState) -> list[Card]:
    """The passages of an answer, best first, with the places its citations rest on."""
    spans: dict[int, list[tuple[int, Span]]] = {}
    for index, citation in enumerate(state.citations):
        spans.setdefault(citation.n, []).extend((index, span) for span in citation.spans)
    return [
        Card(n, passage, markup.passage(passage.text, spans.get(n, ())), n in spans)
        for n, passage in enumerate(state.passages, 1)
    ]
