"""What the API of comparisons takes and gives.

Invariant: as in `schemas`; what is hidden is empty, and `hidden` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas import GenerationOut, Text, _In
from app.backend import records
from app.backend.comparing import (
    AnswerRow,
    ParamRow,
    PassageRow,
    compare_answers,
    compare_params,
    compare_passages,
)
from app.backend.types import ParamValue


class SideIn(_In):
    """How a column is answered. What is left out takes the server's default."""

    pipeline: Text = ""
    corpus: Text = ""
    params: dict[Text, Text | int | float | bool] = Field(
        default={}, description="the pipeline's hyper-parameters, see /api/pipelines"
    )
    engine: Text = ""

    def side(self) -> records.Side:
        return records.Side(self.pipeline, self.corpus, self.params, self.engine)


class CompareIn(_In):
    question: Text = Field(examples=["What is retrieval-augmented generation?"])
    sides: list[SideIn] = Field(
        default=[],
        description="2 to 4, from the left",
        examples=[[{"pipeline": "direct"}, {"pipeline": "naive", "params": {"retrieval_topk": 3}}]],
    )
    blind: bool = False
    corpus: Text = Field("", description="for the sides that name none")


class AgainIn(_In):
    side: SideIn | None = Field(None, description="null: as it was")


class VoteIn(_In):
    winner: Text = Field(description="the letter of a column, `tie` or `both_bad`", examples=["a"])
    tags: list[Text] = Field(default=[], description="reasons, in a word or two each")
    comment: Text = ""


class ComparisonTicketOut(BaseModel):
    """The receipt: all is stored. The answers are in the order of the columns."""

    comparison_id: str
    generation_ids: list[str]


class ColumnOut(BaseModel):
    letter: Literal["a", "b", "c", "d"]
    hidden: bool = Field(description="what made the answer is not told before the vote")
    engine_s: float = Field(description="seconds of all its engine calls, also of those at the same time")
    generation: GenerationOut


class VoteOut(BaseModel):
    winner: records.Winner
    tags: list[str]
    comment: str
    counted: bool = Field(description="whether it is part of the ratings")
    why_not: str
    outdated: bool = Field(description="a column was changed since")


class PassageRowOut(BaseModel):
    """A passage with its rank in each column, which is how it is cited there; null where it was not found."""

    id: str
    title: str
    corpus: str
    ranks: list[int | None]
    moved: list[int | None] = Field(description="places up from the first column that has it")
    change: Literal["same", "moved", "some", "only"]

    @classmethod
    def of(cls, row: PassageRow) -> PassageRowOut:
        p = row.passage
        return cls(
            id=p.id, title=p.title, corpus=p.corpus, ranks=list(row.ranks), moved=list(row.moved), change=row.change
        )


class CellOut(BaseModel):
    """A sentence, where it stands in its answer, and the numbers of the passages that it rests on."""

    text: str
    span: tuple[int, int]
    cites: list[int]


class AnswerRowOut(BaseModel):
    """Sentences that say the same, one a column; null where there is none."""

    cells: list[CellOut | None]
    change: Literal["same", "changed", "moved", "only"]

    @classmethod
    def of(cls, row: AnswerRow) -> AnswerRowOut:
        cells = [cell and CellOut(text=cell.text, span=cell.span, cites=list(cell.cites)) for cell in row.cells]
        return cls(cells=cells, change=row.change)


class ParamRowOut(BaseModel):
    """How the columns were made: one thing that can be set, with its value in each; null where there is none."""

    name: str
    values: list[ParamValue | None]
    differs: bool

    @classmethod
    def of(cls, row: ParamRow) -> ParamRowOut:
        return cls(name=row.name, values=list(row.values), differs=row.differs)


class ComparisonOut(BaseModel):
    id: str
    question: str
    blind: bool
    revealed: bool
    created_at: float
    batch_id: str = Field(description="empty when it is no row of a batch")
    columns: list[ColumnOut]
    vote: VoteOut | None
    passages: list[PassageRowOut]
    answers: list[AnswerRowOut]
    params: list[ParamRowOut] = Field(description="empty while hidden")

    @classmethod
    def of(cls, comparison: records.Comparison) -> ComparisonOut:
        made = [column.generation for column in comparison.columns]
        vote = comparison.vote
        return cls(
            id=comparison.id,
            question=comparison.question,
            blind=comparison.blind,
            revealed=comparison.revealed,
            created_at=comparison.created_at,
            batch_id=comparison.batch_id,
            columns=[
                ColumnOut(
                    letter=column.letter,
                    hidden=column.hidden,
                    engine_s=round(column.generation.usage.engine_ms / 1000, 3),
                    generation=GenerationOut.of(column.generation),
                )
                for column in comparison.columns
            ],
            vote=vote
            and VoteOut(
                winner=vote.winner,
                tags=list(vote.tags),
                comment=vote.comment,
                counted=vote.counted,
                why_not=vote.why_not,
                outdated=vote.outdated,
            ),
            passages=[PassageRowOut.of(row) for row in compare_passages([g.passages for g in made])],
            answers=[AnswerRowOut.of(row) for row in compare_answers([(g.answer, g.citations) for g in made])],
            params=[] if comparison.hidden else [ParamRowOut.of(row) for row in compare_params(made)],
        )


class ComparisonLineOut(BaseModel):
    id: str
    question: str
    blind: bool
    pipelines: list[str] = Field(description="empty while hidden")
    winner: records.Winner | None
    created_at: float


class ComparisonList(BaseModel):
    comparisons: list[ComparisonLineOut]

    @classmethod
    def of(cls, lines: Sequence[records.ComparisonLine]) -> ComparisonList:
        return cls(
            comparisons=[
                ComparisonLineOut(
                    id=line.id,
                    question=line.question,
                    blind=line.blind,
                    pipelines=list(line.pipelines),
                    winner=line.winner,
                    created_at=line.created_at,
                )
                for line in lines
            ]
        )
