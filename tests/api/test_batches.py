"""Batches over HTTP: what goes in and comes out, and whose they are."""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.api.house import Served, error_of

pytestmark = pytest.mark.anyio

SIDES = [{"pipeline": "direct"}, {"pipeline": "naive", "params": {"retrieval_topk": 1}}]
LINES = "\n".join(json.dumps({"question": f"Question {n}?", "golden_answers": ["Paris"]}) for n in range(3))


async def begun(client: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    answer = await client.post("/api/batches", json={"name": "q.jsonl", "questions": LINES, "sides": SIDES, **fields})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def reported(client: httpx.AsyncClient, batch_id: str, query: str = "") -> dict[str, Any]:
    """Its report once it has ended."""
    async with asyncio.timeout(60):
        while True:
            report = (await client.get(f"/api/batches/{batch_id}{query}")).json()
            if report["batch"]["state"] != "running":
                return dict(report)
            await asyncio.sleep(0.05)


async def test_a_file_goes_in_and_a_report_with_a_comparison_a_row_comes_out(served: Served) -> None:
    batch = await begun(served.guest)
    report = await reported(served.guest, batch["id"], "?metric=em")
    assert report["batch"]["answered"] == report["batch"]["golden"] == 3
    assert report["batch"]["sides"][1]["params"] == {"retrieval_topk": 1}
    [pair] = report["pairs"]
    assert (pair["questions"], pair["wins"] + pair["ties"] + pair["losses"], pair["verdict"]) == (3, 3, "few")
    for row in report["rows"]:
        comparison = (await served.guest.get(f"/api/comparisons/{row['comparison_id']}")).json()
        assert [c["generation"]["answer"] for c in comparison["columns"]] == [a["answer"] for a in row["answers"]]
    assert (await served.guest.get("/api/conversations")).json()["conversations"] == []
    assert [listed["id"] for listed in (await served.guest.get("/api/batches")).json()] == [batch["id"]]
    assert (await served.guest.delete(f"/api/batches/{batch['id']}")).status_code == 204
    assert (await served.guest.get(f"/api/comparisons/{comparison['id']}")).status_code == 404


async def test_the_rows_are_a_file_to_take_along_and_lead_back(served: Served) -> None:
    formula = {"question": '=HYPERLINK("http://evil.example")', "golden_answers": ["+1", "长城"]}
    batch = await begun(served.guest, questions=f"{LINES}\n{json.dumps(formula)}", name="my questions.jsonl")
    report = await reported(served.guest, batch["id"], "?metric=em")
    export = f"/api/batches/{batch['id']}/export?metric=em"

    answer = await served.guest.get(export)
    assert answer.headers["content-disposition"].endswith("filename*=UTF-8''my-questions.jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    for n, (line, row) in enumerate(zip(lines, report["rows"], strict=True), 1):
        told = {"batch_id": batch["id"], "n": n, "metric": "em", "sides": report["batch"]["sides"]}
        assert line == row | told

    answer = await served.guest.get(f"{export}&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(codecs.BOM_UTF8)
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"), newline="")))
    for kept, row in zip(rows, report["rows"], strict=True):
        assert kept["comparison_id"] == row["comparison_id"]
        for letter, side, told in zip("ab", batch["sides"], row["answers"], strict=True):
            assert kept[f"{letter}_pipeline"] == side["pipeline"]
            assert kept[f"{letter}_answer"].removeprefix("'") == told["answer"]
            assert float(kept[f"{letter}_em"]) == told["score"]
            assert kept[f"{letter}_generation_id"] == told["generation_id"]
    assert rows[3]["question"] == f"'{formula['question']}"
    assert rows[3]["golden_answers"] == "'+1 | 长城"

    for row in report["rows"]:
        shown = (await served.guest.get(f"/api/comparisons/{row['comparison_id']}")).json()
        assert shown["batch_id"] == batch["id"]
    assert (await served.guest.get(f"{export}&format=xls")).status_code == 422


async def test_what_is_wrong_is_said_in_one_sentence(served: Served) -> None:
    for fields, words in (
        ({"questions": '{"question": "One?"}\nTwo?'}, "q.jsonl: Line 2 is not valid JSON."),
        ({"questions": " "}, "no questions"),
        ({"sides": SIDES[:1]}, "2 to 4 sides"),
        ({"name": " "}, "1 to 120 characters"),
        ({"sides": [{"pipeline": "direct"}, {"pipeline": "magic"}]}, "magic"),
    ):
        asked = {"name": "q.jsonl", "questions": LINES, "sides": SIDES, **fields}
        refused = await served.guest.post("/api/batches", json=asked)
        assert refused.status_code in (404, 422)
        assert words in error_of(refused)["message"]
    batch = await begun(served.guest)
    unknown = await served.guest.get(f"/api/batches/{batch['id']}?metric=beauty")
    assert "choose from f1" in error_of(unknown)["message"]


async def test_to_another_owner_a_batch_is_not_there(served: Served) -> None:
    batch = (await begun(served.guest))["id"]
    for method, path in (("GET", ""), ("GET", "/export"), ("POST", "/stop"), ("POST", "/continue"), ("DELETE", "")):
        theirs = await served.other.request(method, f"/api/batches/{batch}{path}")
        nobodys = await served.other.request(method, f"/api/batches/{'0' * 32}{path}")
        assert theirs.status_code == nobodys.status_code == 404
        assert error_of(theirs)["message"] == error_of(nobodys)["message"]
    assert (await reported(served.guest, batch))["batch"]["state"] == "done"
