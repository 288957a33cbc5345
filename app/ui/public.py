"""Draws what is behind a share link, for whoever has it, and the parts of the page on which links are made.

Invariant: nothing drawn here asks the server for more than the link gives, and it names answers by their place alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.backend.comparing import compare_answers
from app.backend.records import LIVE, Generation
from app.backend.shares.service import Change
from app.backend.shares.snapshots import Share, Snapshot
from app.backend.types import ParamValue, Passage
from app.ui import columns, i18n, markup
from app.ui.frames import frame_line
from app.ui.i18n import Lang
from app.ui.render import Origin, Renderer
from app.ui.trace import Stage
from app.ui.view import ViewState, of_generation

EXPIRIES = (("day", 86_400), ("week", 7 * 86_400), ("month", 30 * 86_400), ("never", 0))
EXCERPT_CHARS = 200
HEADLINE_CHARS = 300
_MARKS = re.compile(r"[*_`#>|~]|!?\[(?=[^\]]*\]\()|\]\([^)]*\)|\s?[\[【]\d[^\]】]*[\]】]")
_OWN = {"answer_foot": "shared_foot", "answer_trace": "shared_trace"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What an answer was made with: every parameter, those that are not the defaults marked."""

    name: str
    value: ParamValue
    changed: bool


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as it is shown: its words, and how it was made."""

    key: str
    letter: str
    live: bool
    origin: Origin
    made: Generation
    html: Markup
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answers."""

    question: str
    answers: tuple[Told, ...]


class PublicRenderer(Renderer):
    """A `Renderer` for readers who may do nothing but read."""

    def page(self, name: str, lang: Lang, **values: object) -> str:
        return super().page(_OWN.get(name, name), lang, **values)

    def step(self, state: ViewState, stage: Stage, lang: Lang) -> Markup:
        return Markup("")

    def turns(self, shown: Snapshot, lang: Lang) -> tuple[Asked, ...]:
        """The questions with their answers, drawn."""
        return tuple(
            Asked(turn.question, tuple(self._told(answer, shown, lang) for answer in turn.answers))
            for turn in shown.turns
        )

    def _told(self, answer: Generation, shown: Snapshot, lang: Lang) -> Told:
        live, origin = answer.status in LIVE, self.origin(answer)
        state = ViewState("running") if live else of_generation(answer)
        changed = dict(origin.changed)
        letter = answer.id[-1].upper() if shown.kind == "comparison" else ""
        return Told(
            answer.id,
            letter,
            live,
            origin,
            answer,
            Markup(self.answer(state, origin, lang)),
            tuple(Setting(name, value, name in changed) for name, value in answer.params.items()),
        )

    def change(self, change: Change, lang: Lang) -> str:
        """What differs between a shared answer and the one that was made again."""
        pairs = [(answer.answer, answer.citations) for answer in (change.then, change.now)]
        rows = compare_answers(pairs)
        told = [(row.change, columns.wording(row)) for row in rows]
        same = all(row.change == "same" for row in rows)
        return self.page(
            "shared_change",
            lang,
            rows=told,
            same=same,
            differs=change.differs,
            seeded=change.then.seed is not None,
            found=_found(change.then.passages, change.now.passages),
        )

    def dialog(
        self, shown: Snapshot | None, why_not: str, shares: Sequence[Share], consents: bool, framed: bool, lang: Lang
    ) -> str:
        """What is about to be published, for how long, and the links that there are. `framed`: other sites may show it;
        the page puts the address into the line for them once it is known."""
        turns = self.turns(shown, lang) if shown else ()
        seen = shown.digest() if shown else ""
        return self.page(
            "share_dialog",
            lang,
            turns=turns,
            seen=seen,
            why_not=why_not,
            frame=frame_line("{url}", headline(shown)) if framed and shown else "",
            shares=shares,
            expiries=EXPIRIES,
            consents=consents,
        )


def _found(then: Sequence[Passage], now: Sequence[Passage]) -> dict[str, int]:
    """What became of the passages, counted; nothing when they are the same ones in the same order."""
    if [(p.id, p.title, p.text) for p in then] == [(p.id, p.title, p.text) for p in now]:
        return {}
    was, here = ({p.id: (rank, p.title, p.text) for rank, p in enumerate(found)} for found in (then, now))
    both = was.keys() & here.keys()
    return {
        "new": len(here.keys() - both),
        "gone": len(was.keys() - both),
        "moved": sum(was[name][0] != here[name][0] for name in both),
        "edited": sum(was[name][1:] != here[name][1:] for name in both),
    }


def excerpt(shown: Snapshot, lang: Lang) -> str:
    """The beginning of the first answer as one line of plain text; else what kind of thing it is."""
    for answer in shown.answers():
        text = " ".join(markup.clean(_MARKS.sub("", answer.answer)).split())
        if text:
            return text if len(text) <= EXCERPT_CHARS else text[: EXCERPT_CHARS - 1].rstrip() + "…"
    return i18n.text(lang, f"shared.{shown.kind}")


def headline(shown: Snapshot) -> str:
    """What it is called, on one line: its title, else its first question; of a comparison, whose title is its question
    cut short, the question where there is room for it."""
    question = shown.turns[0].question
    whole = shown.kind == "comparison" and len(question) <= HEADLINE_CHARS
    return " ".join(markup.clean(question if whole or not shown.title else shown.title).split())


def methods(shown: Snapshot, renderer: Renderer) -> tuple[str, ...]:
    """The pipelines that answered, each once, and the models they used."""
    origins = [renderer.origin(answer) for answer in shown.answers()]
    return tuple(dict.fromkeys([*(o.title for o in origins), *(o.model for o in origins if o.model)]))
