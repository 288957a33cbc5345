"""A real conversation: real engine, real index, real database."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.real.conftest import Early, Event, Server, Visitor

pytestmark = pytest.mark.engine


def done(events: list[Event]) -> dict:
    assert events[-1][1] == "done", events[-1]
    return events[-1][2]


def text(events: list[Event]) -> str:
    return "".join(str(data["text"]) for _, kind, data in events if kind == "token")


def test_a_question_asked_while_the_engine_starts_waits_and_is_answered(early: Early) -> None:
    events = list(early.visitor.events(early.generation_id))
    assert early.asked_after_s < 30
    assert events[0][1] == "queued"
    assert "starting" in str(events[0][2]["reason"])
    assert done(events)["answer"]


def test_the_answer_streams_and_every_citation_resolves(visitor: Visitor) -> None:
    events = visitor.answer("What is the idea behind HyDE?")
    end = done(events)
    assert end["answer"] == text(events)
    assert sum(kind == "token" for _, kind, _ in events) > 3
    (found,) = (data["passages"] for _, kind, data in events if kind == "retrieved")
    by_number = {p["n"]: p for p in found}
    assert end["citations"]
    for citation in end["citations"]:
        passage = by_number[citation["n"]]
        assert passage["id"] == citation["passage_id"]
        assert all(0 <= a < b <= len(passage["text"]) for a, b in citation["spans"])
    assert end["usage"]["completion_tokens"] > 0
    assert {"queue", "retrieve", "first_token", "decode", "total"} <= set(end["timings_ms"])


def test_a_chinese_question_finds_chinese_passages(visitor: Visitor) -> None:
    events = visitor.answer("长城有多长？")
    (found,) = (data["passages"] for _, kind, data in events if kind == "retrieved")
    assert "长城" in found[0]["title"] + found[0]["text"]
    done(events)


def test_drawn_answers_to_long_questions_at_once_leave_the_engine_alive(visitor: Visitor) -> None:
    asked = [f"{n} " + "What is known of the tower? " * 120 for n in range(8)]
    drawn = {"pipeline": "direct", "params": {"temperature": 0.9, "max_tokens": 8}}
    generations = [visitor.ask(question, **drawn) for question in asked]
    for generation in generations:
        done(list(visitor.events(generation)))


def test_a_follow_up_is_searched_as_a_question_of_its_own(visitor: Visitor) -> None:
    conversation = visitor.new()
    done(visitor.answer("What is the capital of France?", conversation))
    events = visitor.answer("How many people live there?", conversation)
    done(events)
    assert "rewrite" in [data["name"] for _, kind, data in events if kind == "step"]


def test_the_prefix_cache_answers_for_what_was_prefilled_before(visitor: Visitor) -> None:
    conversation = visitor.new()
    visitor.answer("What is BM25?", conversation)
    again = done(visitor.answer("What is BM25?"))
    assert again["usage"]["cached_tokens"] > 0.5 * again["usage"]["prompt_tokens"]


def test_a_stream_resumed_anywhere_gives_the_same_text(visitor: Visitor) -> None:
    generation_id = visitor.ask("What is faiss?")
    whole = list(visitor.events(generation_id))
    for cut in range(0, len(whole), 3):
        assert list(visitor.events(generation_id, after=whole[cut][0])) == whole[cut + 1 :]


def test_stop_reaches_the_engine_within_200_ms(server: Server, visitor: Visitor) -> None:
    generation_id = visitor.ask("Write down everything you know about vLLM.", params={"max_tokens": 1000})
    for _, kind, _ in visitor.events(generation_id):
        if kind == "token":
            stopped = time.monotonic()
            visitor.http.post(f"/api/generations/{generation_id}/stop").raise_for_status()
            took = time.monotonic() - stopped
            break
    kind = [kind for _, kind, _ in visitor.events(generation_id)][-1]
    assert kind in ("stopped", "done")
    assert took < 2
    wait_until_idle(server)


def test_a_reader_that_leaves_frees_the_engine(server: Server, visitor: Visitor) -> None:
    generation_id = visitor.ask("Tell a very long story about a river.", pipeline="direct", params={"max_tokens": 3000})
    stream = visitor.events(generation_id)
    for _, kind, _ in stream:
        if kind == "token":
            break
    stream.close()
    wait_until_idle(server, 40)
    assert visitor.http.get(f"/api/generations/{generation_id}").json()["status"] in ("stopped", "done")


def wait_until_idle(server: Server, patience_s: float = 10) -> None:
    until = time.monotonic() + patience_s
    while server.engine_metric("vllm:num_requests_running"):
        assert time.monotonic() < until, "the engine still runs a request"
        time.sleep(0.2)


def test_eight_visitors_at_once_each_get_their_own_answer(server: Server) -> None:
    words = ["apple", "river", "stone", "cloud", "piano", "tiger", "lemon", "chess"]

    def one(word: str) -> list[Event]:
        return server.visitor().answer(f"Repeat this word: {word}", pipeline="direct", params={"max_tokens": 30})

    with ThreadPoolExecutor(8) as pool:
        for word, events in zip(words, pool.map(one, words), strict=True):
            answer = str(done(events)["answer"]).lower()
            assert word in answer
            assert not any(other in answer for other in words if other != word)


def test_the_log_reads_well_with_any_sqlite_tool(server: Server, visitor: Visitor) -> None:
    visitor.answer("What is Gradio?")
    with sqlite3.connect(f"file:{server.data}/colloquy.db?mode=ro", uri=True) as db:
        row = db.execute(
            "SELECT question, answer, passages, timings FROM log WHERE question LIKE '%Gradio%'"
        ).fetchone()
    assert all(row)


def test_the_page_shows_no_path_prompt_or_traceback_of_the_server(server: Server, visitor: Visitor) -> None:
    for path in ("/", "/api/conversations", "/readyz", "/healthz", "/api/generations/none"):
        body = visitor.http.get(path).text
        assert str(server.data) not in body
        assert "Traceback" not in body
