"""Comparisons over HTTP: begin, read with what differs, change a column, vote, export."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.house import Served, events_of

pytestmark = pytest.mark.anyio

SIDES = [{"pipeline": "direct"}, {"pipeline": "naive"}, {"pipeline": "naive", "params": {"retrieval_topk": 2}}]


async def compared(served: Served, sides: list[dict[str, Any]] | None = None, **fields: object) -> str:
    """A comparison whose answers have all ended; its id."""
    asked = {"question": "What is RAG?", "sides": SIDES if sides is None else sides, **fields}
    answer = await served.guest.post("/api/compare", json=asked)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/api/comparisons/{made['comparison_id']}"
    for generation in made["generation_ids"]:
        assert (await events_of(served.guest, generation))[-1].kind == "done"
    return str(made["comparison_id"])


async def read(served: Served, comparison: str) -> dict[str, Any]:
    answer = await served.guest.get(f"/api/comparisons/{comparison}")
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_comparison_is_read_with_what_differs(served: Served) -> None:
    shown = await read(served, await compared(served))
    assert [column["letter"] for column in shown["columns"]] == ["a", "b", "c"]
    assert [column["hidden"] for column in shown["columns"]] == [False] * 3
    assert [row["ranks"] for row in shown["passages"]] == [[None, 1, 1], [None, 2, 2], [None, 3, None], [None, 4, None]]
    assert [row["change"] for row in shown["passages"]] == ["some", "some", "only", "only"]
    answers = [column["generation"]["answer"] for column in shown["columns"]]
    for row in shown["answers"]:
        for cell, answer in zip(row["cells"], answers, strict=True):
            assert cell is None or answer[slice(*cell["span"])] == cell["text"]
    assert any(cell and cell["cites"] for row in shown["answers"] for cell in row["cells"][1:])
    rows = {row["name"]: row for row in shown["params"]}
    assert rows["pipeline"] == {"name": "pipeline", "values": ["direct", "naive", "naive"], "differs": True}
    assert rows["retrieval_topk"]["values"] == [None, 5, 2]
    assert not rows["corpus"]["differs"]


async def test_a_blind_one_hides_its_sides_until_the_vote(served: Served) -> None:
    comparison = await compared(served, [{"pipeline": "hyde"}, {"pipeline": "naive"}], blind=True)
    shown = await read(served, comparison)
    generations = [column["generation"]["id"] for column in shown["columns"]]
    pages = [
        f"/api/comparisons/{comparison}",
        "/api/comparisons",
        f"/api/comparisons/{comparison}/export?format=md",
        f"/api/comparisons/{comparison}/export?format=json",
        "/api/conversations",
        f"/api/conversations/{comparison}",
        f"/api/conversations/{comparison}/export?format=md",
        f"/api/conversations/{comparison}/export?format=json",
        *(f"/api/generations/{generation}" for generation in generations),
        *(f"/api/generations/{generation}/events" for generation in generations),
    ]
    for page in pages:
        told = (await served.guest.get(page)).text.lower()
        assert [word for word in ("hyde", "naive", "imagine", "topk", '"demo"') if word in told] == [], page
    voted = await served.guest.post(f"/api/comparisons/{comparison}/vote", json={"winner": "b", "tags": ["clear"]})
    assert voted.status_code == 200
    assert {c["generation"]["pipeline"] for c in voted.json()["columns"]} == {"hyde", "naive"}
    vote = {"winner": "b", "tags": ["clear"], "comment": "", "counted": True, "why_not": "", "outdated": False}
    assert voted.json()["vote"] == vote
    assert (await read(served, comparison)) == voted.json()
    second = await served.guest.post(f"/api/comparisons/{comparison}/vote", json={"winner": "a"})
    assert second.status_code == 422


async def test_one_column_is_changed_alone(served: Served) -> None:
    comparison = await compared(served)
    before = await read(served, comparison)
    again = f"/api/comparisons/{comparison}/columns/a/again"
    answer = await served.guest.post(again, json={"side": {"pipeline": "naive", "params": {"retrieval_topk": 1}}})
    assert answer.status_code == 202, answer.text
    assert (await events_of(served.guest, answer.json()["generation_id"]))[-1].kind == "done"
    after = await read(served, comparison)
    assert after["columns"][0]["generation"]["params"]["retrieval_topk"] == 1
    assert after["columns"][1:] == before["columns"][1:]
    assert (await served.guest.post(f"/api/comparisons/{comparison}/columns/z/again", json={})).status_code == 422


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"question": "Q?", "sides": []}, "2 to 4 columns"),
        ({"question": " ", "sides": SIDES}, "empty"),
        ({"question": "\u200b\u2060\u202e", "sides": SIDES}, "empty"),
        ({"question": "\u3164\u2800\ufe0f", "sides": SIDES}, "empty"),
        ({"question": "Q?", "sides": [{"pipeline": "naive"}, {"pipeline": "nonsense"}]}, "no pipeline 'nonsense'"),
        ({"question": "Q?", "sides": SIDES, "colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_is_said(served: Served, asked: dict[str, Any], says: str) -> None:
    answer = await served.guest.post("/api/compare", json=asked)
    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "vote",
    [
        {"winner": "z"},
        {"winner": "d"},
        {"winner": "a", "tags": ["x"] * 2 + [""]},
        {"winner": "a", "comment": "x" * 2001},
    ],
)
async def test_a_vote_that_is_none_is_refused(served: Served, vote: dict[str, Any]) -> None:
    comparison = await compared(served)
    assert (await served.guest.post(f"/api/comparisons/{comparison}/vote", json=vote)).status_code == 422
    assert (await read(served, comparison))["vote"] is None


async def test_the_export_has_every_column_its_sources_and_the_vote_and_no_markup(served: Served) -> None:
    comparison = await compared(served)
    comment = "<img src=x onerror=alert(1)> | [a](javascript:b)"
    await served.guest.post(
        f"/api/comparisons/{comparison}/vote", json={"winner": "c", "tags": ["<b>"], "comment": comment}
    )
    exported = await served.guest.get(f"/api/comparisons/{comparison}/export")
    assert exported.headers["content-type"].startswith("text/markdown")
    text = exported.text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## A: direct",
        "## B: naive",
        "## C: naive",
        "## How they were made",
    ]
    assert "Vote: C (\\<b>)" in text
    assert "\n> \\<img" in text
    assert "| retrieval_topk |  | 5 | 2 |" in text
    as_json = await served.guest.get(f"/api/comparisons/{comparison}/export?format=json")
    assert json.loads(as_json.text) == await read(served, comparison)


async def test_another_guest_finds_nothing(served: Served) -> None:
    comparison = await compared(served)
    for method, rest, body in (
        ("GET", "", None),
        ("GET", "/export", None),
        ("POST", "/vote", {"winner": "a"}),
        ("POST", "/columns/a/again", {}),
    ):
        answer = await served.other.request(method, f"/api/comparisons/{comparison}{rest}", json=body)
        assert answer.status_code == 404
    assert (await served.other.get("/api/comparisons")).json() == {"comparisons": []}
