"""What the page may ask, and what it gets: regions to show, or one sentence, never an exception."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from threading import get_ident

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.service import Backend
from app.backend.types import Principal
from app.ui.actions import Actions, load_examples
from app.ui.render import LONG_CHARS, Renderer
from app.ui.turn import FULL_STREAMS, LiveTurns
from tests.doubles import running

pytestmark = pytest.mark.anyio
ANN, BOB = "guest-ann", "guest-bob"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with running(tmp_path, ScriptedEngine([["One [1]."]], tokens_per_s=0)) as backend:
        yield backend


@pytest.fixture
def renderer(backend: Backend) -> Renderer:
    return Renderer(backend.pipelines())


@pytest.fixture
def act(backend: Backend, renderer: Renderer) -> Actions:
    return Actions(backend, renderer, {"en": ("An example?",), "zh": ("例子？",)})


async def test_the_first_page_has_examples_in_the_readers_language(act: Actions) -> None:
    assert "An example?" in str((await act(ANN, {"do": "open"}))["thread"])
    assert "例子？" in str((await act(ANN, {"do": "open", "lang": "zh"}))["thread"])


async def test_a_question_comes_back_with_its_place_in_the_page(renderer: Renderer, tmp_path: Path) -> None:
    async with running(tmp_path / "waiting", ScriptedEngine(gate=asyncio.Event())) as backend:
        act = Actions(backend, renderer, {"en": (), "zh": ()})
        reply = await act(ANN, {"do": "ask", "text": "How tall?"})
    assert reply["running"] == reply["generation"]
    assert "How tall?" in str(reply["thread"])
    assert "How tall?" in str(reply["history"])


@pytest.mark.parametrize(
    "request_",
    [
        None,
        "open",
        {},
        {"do": "drop"},
        {"do": "open", "c": "../../etc"},
        {"do": "open", "c": "x" * 100},
        {"do": "open", "lang": "fr"},
        {"do": "open", "more": 1},
        {"do": "ask", "text": ""},
        {"do": "ask", "text": "x" * 1_000_000},
        {"do": "ask", "text": "x" * 2_000_000},
        {"do": "ask", "text": "hi", "pipeline": "nonesuch"},
        {"do": "ask", "text": "hi", "corpus": "nonesuch"},
        {"do": "ask", "text": "hi", "c": "nonesuch"},
        {"do": "again", "g": "nonesuch"},
        {"do": "stop", "g": "nonesuch"},
        {"do": "delete", "t": "nonesuch"},
    ],
)
async def test_a_wrong_request_gets_one_sentence(act: Actions, request_: object) -> None:
    error = (await act(ANN, request_))["error"]
    assert isinstance(error, dict)
    assert error["text"].endswith(".")
    assert "Traceback" not in error["text"]
    assert "\n" not in error["text"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"do": "ask", "text": " "}, "请先输入问题"),
        ({"do": "ask", "text": "x" * 8001}, "问题有 8,001 个字符，请缩短到 8,000 个以内"),
        ({"do": "ask", "text": "hi", "corpus": "nonesuch"}, "请选用：shelf"),
        ({"do": "ask", "text": "hi", "pipeline": "nonesuch"}, "没有名为 'nonesuch' 的流程"),
        ({"do": "ask", "text": "hi", "params": {"temperature": 9}}, "temperature 必须是 0 到 2 之间的数"),
        ({"do": "open", "c": "nonesuch"}, "没有这个对话"),
        ({"do": "again", "g": "nonesuch"}, "没有这个回答"),
    ],
)
async def test_a_refusal_in_chinese_says_how_to_mend_it(act: Actions, request_: dict[str, object], words: str) -> None:
    error = (await act(ANN, request_ | {"lang": "zh"}))["error"]
    assert isinstance(error, dict)
    assert words in error["text"]


async def test_a_draining_server_says_so_and_when_to_come_back(act: Actions, backend: Backend) -> None:
    await backend.operations.drain(Principal("guest-ann", "admin"), on=True)
    for lang, words in (("en", "maintenance"), ("zh", "维护")):
        error = (await act(ANN, {"do": "ask", "text": "hi", "lang": lang}))["error"]
        assert isinstance(error, dict)
        assert error["code"] == "draining"
        assert words in error["text"]
        assert error["retry_s"] == 60


async def test_a_refused_first_question_leaves_no_empty_conversation(act: Actions, backend: Backend) -> None:
    await act(ANN, {"do": "ask", "text": "hi", "corpus": "nonesuch"})
    assert await backend.conversations(ANN) == ()


async def test_nothing_of_another_guest_can_be_reached(act: Actions, backend: Backend, renderer: Renderer) -> None:
    mine = await act(ANN, {"do": "ask", "text": "My secret question"})
    c, g = mine["c"], mine["generation"]
    turn = (await backend.conversation(ANN, str(c))).turns[0].id
    for request in (
        {"do": "open", "c": c},
        {"do": "ask", "c": c, "text": "hi"},
        {"do": "again", "g": g},
        {"do": "stop", "g": g},
        {"do": "choose", "g": g, "c": c},
        {"do": "branch", "t": turn, "c": c},
        {"do": "rename", "t": c, "text": "mine now"},
        {"do": "pin", "t": c, "pinned": True},
        {"do": "delete", "t": c},
        {"do": "restore", "t": c},
    ):
        reply = await act(BOB, request)
        assert isinstance(reply.get("error"), dict), request
        assert reply["error"]["code"] == "not_found", request
        assert "secret" not in str(reply)
    assert "secret question" not in str((await act(BOB, {"do": "list", "q": "secret"}))["history"])
    with pytest.raises(Exception, match="no such"):
        await LiveTurns(backend, renderer).origin(BOB, str(g))


async def test_a_stream_of_an_owner_with_many_open_ends_after_its_snapshot(
    act: Actions, backend: Backend, renderer: Renderer
) -> None:
    generation = str((await act(ANN, {"do": "ask", "text": "How tall?"}))["generation"])
    live = LiveTurns(backend, renderer)
    origin = await live.origin(ANN, generation)
    streams = [live.stream(ANN, generation, origin, "en") for _ in range(FULL_STREAMS + 1)]
    first = [await anext(stream) for stream in streams]
    assert first == ["retry: 1000\n\n"] * FULL_STREAMS + ["retry: 600\n\n"]
    rest = [chunk async for chunk in streams[-1]]
    assert len(rest) == 1
    for stream in streams[:-1]:
        assert '"end"' in [chunk async for chunk in stream][-1]


def test_examples_are_the_marked_questions(tmp_path: Path) -> None:
    assert load_examples(tmp_path / "none.jsonl") == {"en": (), "zh": ()}
    (tmp_path / "q.jsonl").write_text(
        '{"question": "Shown?", "metadata": {"lang": "en", "example": true}}\n'
        '{"question": "Not shown?", "metadata": {"lang": "en"}}\n',
        encoding="utf-8",
    )
    assert load_examples(tmp_path / "q.jsonl")["en"] == ("Shown?",)


def test_a_model_of_few_languages_is_given_examples_that_it_answers_right(tmp_path: Path) -> None:
    marks = {"Hard?": ("en", False), "Easy?": ("en", True), "难？": ("zh", False), "易？": ("zh", True)}
    lines = [
        json.dumps({"question": text, "metadata": {"lang": lang, "example": True, "easy": easy}})
        for text, (lang, easy) in marks.items()
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert load_examples(tmp_path / "q.jsonl") == {"en": ("Hard?", "Easy?"), "zh": ("难？", "易？")}
    assert load_examples(tmp_path / "q.jsonl", ("en",)) == {"en": ("Easy?",), "zh": ("易？", "Easy?")}


async def test_a_long_answer_is_drawn_beside_the_loop_that_serves_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    answer = Renderer.answer

    def noted(*args: object, **kwargs: object) -> str:
        threads.append(get_ident())
        return answer(*args, **kwargs)  # type: ignore[arg-type]

    async with running(tmp_path, ScriptedEngine([["word" * LONG_CHARS]], tokens_per_s=0)) as backend:
        renderer = Renderer(backend.pipelines())
        act = Actions(backend, renderer, {"en": (), "zh": ()})
        asked = await act(ANN, {"do": "ask", "text": "Go on?"})
        live = LiveTurns(backend, renderer)
        origin = await live.origin(ANN, str(asked["generation"]))
        async for _ in live.stream(ANN, str(asked["generation"]), origin, "en"):
            pass
        monkeypatch.setattr(Renderer, "answer", noted)
        async for _ in live.stream(ANN, str(asked["generation"]), origin, "en"):
            pass
        assert threads
        assert get_ident() not in threads
        threads.clear()
        await act(ANN, {"do": "open", "c": asked["c"]})
        assert threads
        assert get_ident() not in threads


async def test_the_steps_of_a_finished_answer_are_read_from_its_log(act: Actions, backend: Backend) -> None:
    g = str(
        (await act(ANN, {"do": "ask", "text": "How tall?", "pipeline": "naive", "params": {"retrieval_topk": 2}}))[
            "generation"
        ]
    )
    _ = [recorded async for recorded in backend.events(ANN, g)]
    steps = str((await act(ANN, {"do": "trace", "g": g}))["steps"])
    assert "How tall?</q>" in steps
    assert "2 passages" in steps
    assert (await backend.generation(ANN, g)).searches == 1
    refused = await act(BOB, {"do": "trace", "g": g})
    assert "not_found" in str(refused["error"])


async def test_settings_out_of_range_are_refused_and_their_form_says_why(act: Actions) -> None:
    wrong: dict[str, object] = {"pipeline": "naive", "params": {"retrieval_topk": 0, "temperature": 0.5}}
    reply = await act(ANN, {"do": "tune", **wrong})
    assert reply["wrong"] == {"retrieval_topk": "retrieval_topk must be a whole number from 1 to 100."}
    assert reply["changed"] == {"temperature": 0.5}
    assert "retrieval_topk must be" in str(reply["form"])
    assert "retrieval_topk must be" in str((await act(ANN, {"do": "ask", "text": "How tall?", **wrong}))["error"])
    assert "no pipeline" in str((await act(ANN, {"do": "tune", "pipeline": "magic"}))["error"])
