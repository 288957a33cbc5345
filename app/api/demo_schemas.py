"""What the API of demos takes and gives. Invariant as in `schemas`: nothing is shown that is not named here."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.api.schemas import Text
from app.backend.demos.records import EARLIEST, LATEST, Board, Demo, DemoLine, DemoQuestion, Setup, State, Tally
from app.backend.records import Generation, Side, Winner


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SideIn(_In):
    """What a column is asked with. What is left out takes the server's default."""

    pipeline: Annotated[Text, Field(max_length=100)] = ""
    corpus: Annotated[Text, Field(max_length=200)] = ""
    params: Annotated[dict[Text, Text | int | float | bool], Field(max_length=100)] = {}
    engine: Annotated[Text, Field(max_length=100)] = ""

    def side(self) -> Side:
        return Side(self.pipeline, self.corpus, self.params, self.engine)


class DemoPatch(_In):
    """What is to be changed. `on` false switches it off: at once, for everybody."""

    name: Annotated[Text, Field(max_length=100)] | None = Field(None, description="of the link: /d/<name>")
    title: Annotated[Text, Field(max_length=1_000)] | None = None
    welcome: Annotated[Text, Field(max_length=20_000)] | None = Field(None, description="Markdown")
    examples: Annotated[list[Text], Field(max_length=100)] | None = None
    sides: Annotated[list[SideIn], Field(max_length=20)] | None = Field(
        None, description="one is a chat, two to four are a comparison"
    )
    accent: Annotated[Text, Field(max_length=20)] | None = Field(None, description="a colour: #0b6e63")
    opens_at: AwareDatetime | None = None
    closes_at: AwareDatetime | None = None
    per_day: int | None = Field(None, description="questions of all visitors together")
    visitor_per_day: int | None = Field(None, description="questions of one visitor")
    origins: Annotated[list[Text], Field(max_length=50)] | None = Field(
        None, description="sites that may show it in a frame; of those in server.embed_origins"
    )
    on: bool | None = None

    def setup(self, before: Setup) -> Setup:
        """`before` with what was given here. A time that is given as null is taken away."""
        given: dict[str, Any] = {
            name: value
            for name, value in self.model_dump(exclude_unset=True, exclude={"on", "sides"}).items()
            if value is not None or name in ("opens_at", "closes_at")
        }
        for name in ("opens_at", "closes_at"):
            if given.get(name):
                given[name] = given[name].timestamp()
        for name in ("examples", "origins"):
            if name in given:
                given[name] = tuple(given[name])
        if self.sides is not None:
            given["sides"] = tuple(side.side() for side in self.sides)
        return replace(before, **given)

    @property
    def changes_setup(self) -> bool:
        return bool(self.model_fields_set - {"on"})


class DemoIn(DemoPatch):
    """A demo to publish. Without a name it gets one from its title."""

    title: Annotated[Text, Field(max_length=1_000)]

    def new(self) -> Setup:
        return self.setup(Setup(self.name or _name(self.title), self.title))


class SideOut(BaseModel):
    pipeline: str
    corpus: str
    params: dict[str, str | int | float | bool]
    engine: str = ""


class DemoOut(BaseModel):
    """A demo, for its publisher."""

    id: str
    name: str
    url: str
    title: str
    welcome: str
    examples: list[str]
    sides: list[SideOut]
    accent: str
    opens_at: datetime | None
    closes_at: datetime | None
    per_day: int
    visitor_per_day: int
    origins: list[str]
    on: bool
    state: State
    visitors: int
    questions: int

    @classmethod
    def of(cls, line: DemoLine, url: str, now: float) -> DemoOut:
        demo, setup = line.demo, line.demo.setup
        return cls(
            id=demo.id,
            name=setup.name,
            url=url,
            title=setup.title,
            welcome=setup.welcome,
            examples=list(setup.examples),
            sides=_sides(demo),
            accent=setup.accent,
            opens_at=_time(setup.opens_at),
            closes_at=_time(setup.closes_at),
            per_day=setup.per_day,
            visitor_per_day=setup.visitor_per_day,
            origins=list(setup.origins),
            on=demo.on,
            state=demo.state(now),
            visitors=line.visitors,
            questions=line.questions,
        )


class CardOut(BaseModel):
    """A demo, for its visitors. `visitor` says who they are in it: to be sent as the header Colloquy-Visitor."""

    title: str
    welcome: str
    examples: list[str]
    sides: list[SideOut]
    visitor: str

    @classmethod
    def of(cls, demo: Demo, visitor: str) -> CardOut:
        setup = demo.setup
        return cls(
            title=setup.title,
            welcome=setup.welcome,
            examples=list(setup.examples),
            sides=_sides(demo),
            visitor=visitor,
        )


class DemoAskIn(_In):
    question: Text = Field(examples=["How tall is the Eiffel Tower?"])


class DemoTicketOut(BaseModel):
    question_id: str
    generation_ids: list[str]
    visitor: str = Field(description="who you are in this demo: keep it, and send it as the header Colloquy-Visitor")


class DemoAnswerOut(BaseModel):
    generation_id: str
    pipeline: str
    status: str
    answer: str
    sources: list[str] = Field(description="titles of the passages, as [n] counts them")


class OwnQuestionOut(BaseModel):
    """A question of this visitor, with its answers in the order of the sides."""

    id: str
    question: str
    answers: list[DemoAnswerOut]
    vote: Winner | None

    @classmethod
    def of(cls, asked: DemoQuestion, answers: tuple[Generation, ...]) -> OwnQuestionOut:
        return cls(
            id=asked.id,
            question=asked.question,
            answers=[
                DemoAnswerOut(
                    generation_id=g.id,
                    pipeline=g.pipeline,
                    status=g.status,
                    answer=g.answer,
                    sources=[p.title for p in g.passages],
                )
                for g in answers
            ],
            vote=asked.vote,
        )


class DemoVoteIn(_In):
    winner: Text = Field(description="the letter of a side, `tie` or `both_bad`", examples=["a"])


class BoardQuestion(BaseModel):
    id: str
    question: str
    at: datetime
    phases: list[str]
    vote: Winner | None


class SideVotes(BaseModel):
    letter: str
    pipeline: str
    votes: int


class TallyOut(BaseModel):
    """How visitors voted. What stood in a place before the demo was changed has a line of its own."""

    sides: list[SideVotes]
    tie: int
    both_bad: int

    @classmethod
    def of(cls, tally: Tally) -> TallyOut:
        sides = [SideVotes(letter=letter, pipeline=pipeline, votes=votes) for letter, pipeline, votes in tally.sides]
        return cls(sides=sides, tie=tally.tie, both_bad=tally.both_bad)


class BoardOut(BaseModel):
    """What the presenter sees. The newest question comes first."""

    visitors: int
    questions: int
    answered: int
    running: int
    hidden: int
    shown: list[BoardQuestion]
    tally: TallyOut | None = Field(description="null where nothing is compared")

    @classmethod
    def of(cls, board: Board) -> BoardOut:
        shown = [
            BoardQuestion(
                id=q.id,
                question=q.question,
                at=datetime.fromtimestamp(q.at, UTC),
                phases=list(q.phases),
                vote=q.vote,
            )
            for q in board.shown
        ]
        return cls(
            visitors=board.visitors,
            questions=board.questions,
            answered=board.answered,
            running=board.running,
            hidden=board.hidden,
            shown=shown,
            tally=board.tally and TallyOut.of(board.tally),
        )


class HideIn(_In):
    hidden: bool


def _sides(demo: Demo) -> list[SideOut]:
    sides = demo.setup.sides
    return [SideOut(pipeline=s.pipeline, corpus=s.corpus, params=dict(s.params), engine=s.engine) for s in sides]


def _time(seconds: float | None) -> datetime | None:
    """What was stored before times were bounded is shown as the nearest that may be."""
    return None if seconds is None else datetime.fromtimestamp(min(max(seconds, EARLIEST), LATEST), UTC)


def _name(title: str) -> str:
    """A name for the link, which nobody guesses."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{words or 'demo'}-{secrets.token_hex(3)}"
