"""What the API of batches takes and gives. Invariant: as in `schemas`; a score is null where nothing is scored."""

from __future__ import annotations

from pydantic import BaseModel, Field

from app.api.compare_schemas import SideIn
from app.api.schemas import Text, _In
from app.backend.batches import records
from app.backend.experiments import report as reports
from app.backend.experiments.paired import Interval, Verdict
from app.backend.types import ParamValue


class BatchIn(_In):
    name: Text = Field(description="what the file is called, in lists and in errors", examples=["nq-dev.jsonl"])
    questions: str = Field(
        description="its text: FlashRAG's JSON lines (`question`, `golden_answers`), or one question a line",
        examples=['{"question": "Who wrote Hamlet?", "golden_answers": ["Shakespeare"]}'],
    )
    sides: list[SideIn] = Field(description="2 to 4")
    corpus: Text = Field("", description="for the sides that name none")
    judged: bool = Field(False, description="whether the engine says of each two answers which is better")


class BatchSideOut(BaseModel):
    pipeline: str
    corpus: str
    params: dict[str, ParamValue] = Field(description="those that were given")
    engine: str = ""


class BatchOut(BaseModel):
    id: str
    name: str
    sides: list[BatchSideOut]
    state: records.BatchState
    trouble: str = Field(description="why it could not go on")
    questions: int
    answered: int = Field(description="questions with an answer, or a failure, on every side")
    failed: int = Field(description="answers that failed")
    golden: int = Field(description="questions with right answers")
    judged: bool
    eta_s: float | None
    held: str = Field(description="what it waits for, if it does")
    created_at: float
    finished_at: float | None

    @classmethod
    def of(cls, batch: records.Batch, progress: records.Progress) -> BatchOut:
        return cls(
            id=batch.id,
            name=batch.name,
            sides=_sides(batch),
            state=batch.state,
            trouble=batch.trouble,
            questions=batch.questions,
            answered=batch.answered,
            failed=batch.failed,
            golden=batch.golden,
            judged=batch.judged,
            eta_s=progress.eta_s,
            held=progress.held,
            created_at=batch.created_at,
            finished_at=batch.finished_at,
        )


class IntervalOut(BaseModel):
    """A mean with its 95 % interval, by bootstrap over the questions."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Interval | None) -> IntervalOut | None:
        return cls(mean=found.mean, low=found.low, high=found.high) if found else None


class SideReportOut(BaseModel):
    answered: int
    failed: int
    score: IntervalOut | None
    median_ms: float | None


class PairOut(BaseModel):
    """Two sides on the questions that both answered; differences are left minus right."""

    left: int
    right: int
    questions: int
    wins: int
    ties: int
    losses: int
    difference: IntervalOut | None
    verdict: Verdict = Field(description="`few` questions, which side is better, or `open`: it cannot be told")


class AnswerOut(BaseModel):
    generation_id: str
    status: str
    answer: str
    error: str
    total_ms: float | None
    score: float | None


class RowOut(BaseModel):
    question: str
    golden_answers: list[str]
    comparison_id: str = Field(description="empty before it is asked; see /compare?id=")
    answers: list[AnswerOut | None]

    @classmethod
    def of(cls, one: reports.Scored) -> RowOut:
        row = one.row
        return cls(
            question=row.asked.question,
            golden_answers=list(row.asked.golden_answers),
            comparison_id=row.comparison_id,
            answers=[
                cell
                and AnswerOut(
                    generation_id=cell.generation_id,
                    status=cell.status,
                    answer=cell.answer,
                    error=cell.error,
                    total_ms=cell.ms,
                    score=score,
                )
                for cell, score in zip(row.cells, one.scores, strict=True)
            ],
        )


class LineOut(RowOut):
    """A row by itself, as a line of a file. `sides` are in the order of `answers`."""

    batch_id: str
    n: int = Field(description="which question of the file, from 1")
    metric: str
    sides: list[BatchSideOut]

    @classmethod
    def of_row(cls, batch: records.Batch, metric: str, one: reports.Scored) -> LineOut:
        row = RowOut.of(one)
        return cls(
            batch_id=batch.id,
            n=one.row.position + 1,
            metric=metric,
            sides=_sides(batch),
            **{name: getattr(row, name) for name in RowOut.model_fields},
        )


class ReportOut(BaseModel):
    """A batch with all of its answers so far. Sides are named by their place, from 0."""

    batch: BatchOut
    metric: str
    sides: list[SideReportOut]
    pairs: list[PairOut]
    rows: list[RowOut]

    @classmethod
    def of(cls, batch: BatchOut, made: reports.Report) -> ReportOut:
        sides = [
            SideReportOut(answered=s.answered, failed=s.failed, score=IntervalOut.of(s.score), median_ms=s.median_ms)
            for s in made.sides
        ]
        return cls(
            batch=batch,
            metric=made.metric,
            sides=sides,
            pairs=[_pair(pair) for pair in made.pairs],
            rows=[RowOut.of(row) for row in made.rows],
        )


def _sides(batch: records.Batch) -> list[BatchSideOut]:
    return [
        BatchSideOut(pipeline=s.pipeline, corpus=s.corpus, params=dict(s.params), engine=s.engine) for s in batch.sides
    ]


def _pair(pair: reports.Pair) -> PairOut:
    found = pair.difference
    return PairOut(
        left=pair.left,
        right=pair.right,
        questions=len(found.values),
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
        difference=IntervalOut.of(found.interval),
        verdict=found.verdict,
    )
