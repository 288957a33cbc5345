"""Conversations over HTTP: what is asked is kept, found, renamed, pinned, branched, deleted, restored, exported."""

import json
from pathlib import Path

import pytest

from tests.api.house import Served, error_of, events_of, serving

pytestmark = pytest.mark.anyio


async def test_a_question_is_answered_and_found_again(tmp_path: Path) -> None:
    async with serving(tmp_path, [["Retrieval augmented generation."]]) as served:
        made = await served.guest.post("/api/conversations")
        conversation = made.json()["id"]
        asked = await served.guest.post(
            f"/api/conversations/{conversation}/ask", json={"question": "What is RAG?", "pipeline": "direct"}
        )
        ticket = asked.json()
        assert (made.status_code, asked.status_code) == (201, 202)
        assert ticket["conversation_id"] == conversation
        assert ticket["position"] >= 1
        assert asked.headers["location"] == f"/api/generations/{ticket['generation_id']}/events"
        await events_of(served.guest, ticket["generation_id"])
        tree = (await served.guest.get(f"/api/conversations/{conversation}")).json()
        [turn] = tree["turns"]
        assert (turn["question"], turn["parent_id"], tree["leaf_id"]) == ("What is RAG?", None, turn["id"])
        [generation] = turn["generations"]
        assert generation == (await served.guest.get(f"/api/generations/{generation['id']}")).json()
        assert (generation["status"], generation["answer"]) == ("done", "Retrieval augmented generation.")
        assert generation["usage"]["completion_tokens"] > 0
        for words in ("rag", "augmented"):
            found = (await served.guest.get("/api/conversations", params={"q": words})).json()["conversations"]
            assert [line["id"] for line in found] == [conversation]
        nothing = await served.guest.get("/api/conversations", params={"q": "zebra"})
        assert nothing.json() == {"conversations": []}


async def test_sources_and_citations_are_in_the_answer_and_after_a_reload(served: Served) -> None:
    generation = await served.ask("What does passage one tell?", pipeline="naive", corpus="demo")
    events = await events_of(served.guest, generation)
    [retrieved] = [event.data for event in events if event.kind == "retrieved"]
    assert [(p["n"], p["id"]) for p in retrieved["passages"]][:2] == [(1, "p1"), (2, "p2")]
    stored = (await served.guest.get(f"/api/generations/{generation}")).json()
    assert stored["passages"] == retrieved["passages"]
    assert stored["citations"] == events[-1].data["citations"]


async def test_rename_and_pin(served: Served) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    url = f"/api/conversations/{conversation}"
    assert (await served.guest.patch(url, json={"title": "  On RAG "})).status_code == 204
    assert (await served.guest.patch(url, json={"pinned": True})).status_code == 204
    read = (await served.guest.get(url)).json()
    assert (read["title"], read["pinned"]) == ("On RAG", True)
    for wrong in ({"title": " "}, {"title": "x" * 201}, {"name": "x"}, {"pinned": "perhaps"}):
        refused = await served.guest.patch(url, json=wrong)
        assert (refused.status_code, error_of(refused)["code"]) == (422, "bad_input")


async def test_a_deleted_conversation_is_gone_and_can_be_restored(served: Served) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    await served.guest.patch(f"/api/conversations/{conversation}", json={"title": "Keep me"})
    assert (await served.guest.delete(f"/api/conversations/{conversation}")).status_code == 204
    assert (await served.guest.get(f"/api/conversations/{conversation}")).status_code == 404
    assert (await served.guest.get("/api/conversations")).json()["conversations"] == []
    assert (await served.guest.post(f"/api/conversations/{conversation}/restore")).status_code == 204
    assert (await served.guest.get(f"/api/conversations/{conversation}")).json()["title"] == "Keep me"


async def test_editing_a_question_branches_and_both_branches_can_be_shown(tmp_path: Path) -> None:
    async with serving(tmp_path, [["One"], ["Two"]]) as served:
        conversation = (await served.guest.post("/api/conversations")).json()["id"]
        turns = []
        for question in ("First?", "First, edited?"):
            asked = await served.guest.post(
                f"/api/conversations/{conversation}/ask",
                json={"question": question, "pipeline": "direct", "parent_id": ""},
            )
            turns.append(asked.json()["turn_id"])
            await events_of(served.guest, asked.json()["generation_id"])
        tree = (await served.guest.get(f"/api/conversations/{conversation}")).json()
        assert [turn["parent_id"] for turn in tree["turns"]] == [None, None]
        assert tree["leaf_id"] == turns[1]
        back = await served.guest.post(f"/api/conversations/{conversation}/branch", json={"turn_id": turns[0]})
        assert back.status_code == 204
        assert (await served.guest.get(f"/api/conversations/{conversation}")).json()["leaf_id"] == turns[0]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"question": ""}, 422, "bad_input"),
        ({"question": "   \n"}, 422, "bad_input"),
        ({"question": "x" * 1_000_000}, 422, "bad_input"),
        ({"question": "x" * 3_000_000}, 413, "too_large"),
        ({"question": "\ud800"}, 422, "bad_input"),
        ({"question": 5}, 422, "bad_input"),
        ({}, 422, "bad_input"),
        ({"question": "x", "pipeline": "no-such"}, 422, "bad_input"),
        ({"question": "x", "pipeline": "naive", "corpus": "no-such"}, 404, "not_found"),
        ({"question": "x", "params": {"no_such": 1}}, 422, "bad_input"),
        ({"question": "x", "params": {"top_k": []}}, 422, "bad_input"),
        ({"question": "x", "parent_id": "no-such"}, 404, "not_found"),
    ],
)
async def test_a_wrong_question_is_one_sentence_and_leaves_nothing_behind(
    served: Served, fields: dict[str, object], status: int, code: str
) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    refused = await served.guest.post(
        f"/api/conversations/{conversation}/ask",
        content=json.dumps(fields),
        headers={"content-type": "application/json"},
    )
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (status, code)
    assert len(error["message"]) < 500
    assert (await served.guest.get(f"/api/conversations/{conversation}")).json()["turns"] == []


async def test_both_exports_are_downloads_named_after_the_title(tmp_path: Path) -> None:
    async with serving(tmp_path, [["Forty-two."]]) as served:
        await events_of(served.guest, await served.ask("What is the answer?"))
        [line] = (await served.guest.get("/api/conversations")).json()["conversations"]
        await served.guest.patch(f"/api/conversations/{line['id']}", json={"title": '答案 / "42"'})
        url = f"/api/conversations/{line['id']}/export"
        markdown = await served.guest.get(url)
        assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
        assert "filename*=UTF-8''%E7%AD%94%E6%A1%88-42.md" in markdown.headers["content-disposition"]
        assert "Forty-two." in markdown.text
        tree = await served.guest.get(url, params={"format": "json"})
        assert tree.json() == (await served.guest.get(f"/api/conversations/{line['id']}")).json()
        assert error_of(await served.guest.get(url, params={"format": "exe"}))["code"] == "bad_input"


async def test_pipelines_and_corpora_can_be_listed(served: Served) -> None:
    pipelines = (await served.guest.get("/api/pipelines")).json()["pipelines"]
    assert {"direct": "basic", "naive": "basic", "flare": "loop"}.items() <= {
        pipeline["name"]: pipeline["family"] for pipeline in pipelines
    }.items()
    [corpus] = (await served.guest.get("/api/corpora")).json()["corpora"]
    assert (corpus["name"], corpus["passages"]) == ("demo", 4)


async def test_a_wrong_parameter_is_named_as_it_was_sent(served: Served) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    asked = {"question": "Why?", "params": {"max_tokens": {"a": 1}}}
    response = await served.guest.post(f"/api/conversations/{conversation}/ask", json=asked)
    message = "`params.max_tokens` is wrong: input should be a valid string."
    assert (response.status_code, error_of(response)["message"]) == (422, message)
