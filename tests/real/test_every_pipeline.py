"""Every pipeline on the real engine: two turns in a row, and eight at once with mixed methods. A quarter of an hour, so
run by hand (`pytest -m slow tests/real`).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.real.conftest import Event, Server

pytestmark = [pytest.mark.engine, pytest.mark.slow]

AT_ONCE = 8
TURNS = ("What is the idea behind HyDE? My code is {code}.", "And who would use it?")
LITTLE = {"max_tokens": 48}


def codes(count: int) -> list[str]:
    """Words that no passage has and no model says by itself."""
    return [f"zq{chr(97 + n % 26)}x{chr(97 + n // 26)}w" for n in range(count)]


def names(server: Server) -> list[str]:
    """All pipelines that can run with the engine there is."""
    listed = server.visitor().http.get("/api/pipelines").raise_for_status().json()["pipelines"]
    return [pipeline["name"] for pipeline in listed if pipeline["name"] != "spring"]


def answered(events: list[Event], pipeline: str) -> None:
    assert events[-1][1] == "done", (pipeline, events[-1])
    assert str(events[-1][2]["answer"]).strip(), pipeline


def test_two_turns_of_every_pipeline_are_answered_eight_conversations_at_once_and_none_holds_anothers_words(
    server: Server,
) -> None:
    pipelines = names(server)
    assert len(pipelines) >= 31
    own = dict(zip(pipelines, codes(len(pipelines)), strict=True))

    def two_turns(pipeline: str) -> list[list[Event]]:
        visitor = server.visitor()
        conversation = visitor.new()
        turns = []
        for question in TURNS:
            asked = question.format(code=own[pipeline])
            turns.append(visitor.answer(asked, conversation, pipeline=pipeline, params=LITTLE))
        stored = visitor.http.get(f"/api/conversations/{conversation}").raise_for_status().json()["turns"]
        assert [turn["question"] for turn in stored] == [q.format(code=own[pipeline]) for q in TURNS]
        return turns

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for pipeline, turns in zip(pipelines, pool.map(two_turns, pipelines), strict=True):
            for events in turns:
                answered(events, pipeline)
            said = json.dumps(turns)
            assert not [other for other, code in own.items() if other != pipeline and code in said], pipeline


def test_every_pipeline_answers_two_turns_in_a_row_alone(server: Server) -> None:
    visitor = server.visitor()
    for pipeline in names(server):
        conversation = visitor.new()
        for question in TURNS:
            asked = question.format(code="none")
            answered(visitor.answer(asked, conversation, pipeline=pipeline, params=LITTLE), pipeline)
