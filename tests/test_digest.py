"""What a log comes to."""

from __future__ import annotations

from app.backend.digest import Digest
from app.backend.events import Event, Recorded, Started, Step, Token


def log(*events: tuple[float, Event]) -> list[Recorded]:
    return [Recorded(seq, at, event) for seq, (at, event) in enumerate(events, 1)]


def test_the_time_to_the_first_token_is_told_in_whatever_stage_it_comes() -> None:
    ahead = log((5, Started()), (6, Step("look_ahead")), (40, Token("A")), (60, Step("retrieve")), (90, Token("B")))
    assert Digest.of(ahead).timings_at(100) == {"queue": 5, "look_ahead": 54, "retrieve": 40, "ttft": 40, "total": 100}
    plain = log((5, Started()), (6, Step("generate")), (40, Token("A")), (50, Token("B")))
    assert Digest.of(plain).timings_at(100) == {"queue": 5, "first_token": 34, "decode": 60, "ttft": 40, "total": 100}
    assert "ttft" not in Digest.of(log((5, Started()), (6, Step("generate")))).timings_at(100)
