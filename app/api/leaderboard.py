"""The leaderboard over HTTP.

Invariant: it is made of counts and ratings; nobody's words and no owner are in it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.backend.arena import board
from app.backend.arena.battles import MIN_VOTES, Filters
from app.backend.arena.live import Arena
from app.backend.arena.ratings import Effect


class ContenderOut(BaseModel):
    """A contender that is rated."""

    contender: str = Field(
        description="a pipeline, with its parameters that are not the defaults, and @corpus or @model where it takes "
        "these to tell it from others"
    )
    rank: int = Field(description="one more than the number of those whose interval lies wholly above")
    rank_to: int = Field(description="all but those whose interval lies wholly below")
    rating: float = Field(description="400 points are odds of ten to one; the mean is 1000")
    low: float = Field(description="where the 95 % interval begins")
    high: float = Field(description="where it ends")
    votes: int
    won: int = Field(description="battles; a vote on four answers is up to three of them")
    drawn: int
    lost: int
    median_ms: float = Field(description="from the question to the whole answer")
    p95_ms: float
    frontier: bool = Field(description="whether nobody is both better and faster")

    @classmethod
    def of(cls, row: board.Row) -> ContenderOut:
        r, score = row.rating, row.score
        return cls(
            contender=r.contender,
            rank=r.rank,
            rank_to=r.last,
            rating=r.rating,
            low=r.low,
            high=r.high,
            votes=row.votes,
            won=score.won,
            drawn=score.drawn,
            lost=score.lost,
            median_ms=row.ms,
            p95_ms=row.slow_ms,
            frontier=row.frontier,
        )


class PendingOut(BaseModel):
    """A contender with too few votes to be rated; with none missing, one that has not met those who are."""

    contender: str
    votes: int
    missing: int

    @classmethod
    def of(cls, pending: board.Pending) -> PendingOut:
        return cls(contender=pending.contender, votes=pending.votes, missing=pending.missing)


class CellOut(BaseModel):
    """What `one` did in its battles with `other`."""

    one: str
    other: str
    won: int
    drawn: int
    lost: int


class EffectOut(BaseModel):
    """Points for an answer with one standard deviation more of a style than the other; only with style control."""

    style: str
    points: float
    low: float
    high: float

    @classmethod
    def of(cls, effect: Effect) -> EffectOut:
        return cls(style=effect.style, points=effect.points, low=effect.low, high=effect.high)


class LeaderboardOut(BaseModel):
    """Best first. Without enough votes `contenders` is empty."""

    contenders: list[ContenderOut]
    pending: list[PendingOut]
    matrix: list[CellOut]
    effects: list[EffectOut]
    votes: int
    min_votes: int = Field(description="from how many votes on a contender is rated")

    @classmethod
    def of(cls, made: board.Board) -> LeaderboardOut:
        return cls(
            contenders=[ContenderOut.of(row) for row in made.rows],
            pending=[PendingOut.of(pending) for pending in made.pending],
            matrix=[
                CellOut(one=one, other=other, won=s.won, drawn=s.drawn, lost=s.lost)
                for (one, other), s in made.cells.items()
            ],
            effects=[EffectOut.of(effect) for effect in made.effects],
            votes=made.votes,
            min_votes=MIN_VOTES,
        )


def routes(arena: Arena) -> APIRouter:
    router = APIRouter(tags=["leaderboard"])

    @router.get("/api/leaderboard")
    async def leaderboard(
        corpus: Annotated[str, Query(max_length=200, description="only votes on answers from this corpus")] = "",
        language: Annotated[str, Query(max_length=200, description="only votes on questions in it, as en or zh")] = "",
        judge: Annotated[
            Literal["", "human", "model"],
            Query(description="votes of people, of models that judged batches, or (empty) both"),
        ] = "human",
        blind: Annotated[bool, Query(description="only votes that were cast before the names were shown")] = False,
        style: Annotated[bool, Query(description="rate as if answers were equally long, cited and fast")] = False,
    ) -> LeaderboardOut:
        """The ratings of the votes there are now (Bradley-Terry, 95 % intervals by bootstrap)."""
        return LeaderboardOut.of(await arena.board(Filters(corpus, language, judge, blind), style=style))

    return router
