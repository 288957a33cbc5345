"""What the double that ships promises: the same answer every time, an honest count of streams, scripted mishaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.backend.engines import create_engine
from app.backend.engines.quoting import compose, pieces
from app.backend.engines.scripted import Crash, Death, Item, ScriptedEngine, Silence
from app.backend.errors import BadInput, Unavailable
from app.backend.pipelines.prompts import answer_prompt
from app.backend.types import Delta, Exchange, Message, Passage, Sampling, Scored, Usage
from app.settings import EngineSettings, Settings

pytestmark = pytest.mark.anyio

ASK = (Message("user", "What is a lighthouse?"),)
PASSAGES = (
    Message("system", "Answer from the passages and cite them as [n]."),
    Message(
        "user",
        "[1] Bees\nBees dance to tell where flowers are. They sleep at night.\n\n"
        "[2] Moon\nThe Moon orbits the Earth. Its tides were first explained by Newton.\n\n"
        "Question: Who explained the tides of the Moon?",
    ),
)


async def started(*script: list[Item], tokens_per_s: float = 0, context_tokens: int = 8192) -> ScriptedEngine:
    engine = ScriptedEngine(script, tokens_per_s=tokens_per_s, context_tokens=context_tokens)
    await engine.start()
    return engine


def ask(engine: ScriptedEngine, messages: tuple[Message, ...] = ASK, max_tokens: int = 100) -> AsyncIterator[Delta]:
    return engine.stream(messages, Sampling(max_tokens), request_id="r1")


async def test_the_settings_choose_it() -> None:
    assert isinstance(create_engine(Settings(engine=EngineSettings(kind="scripted"))), ScriptedEngine)


async def test_an_answer_quotes_the_fitting_sentence_and_cites_its_passage() -> None:
    engine = await started()
    answer = "".join([delta.text async for delta in ask(engine, PASSAGES)])
    assert answer.startswith("Its tides were first explained by Newton. [2]")
    assert answer == "".join([delta.text async for delta in ask(engine, PASSAGES)])


async def test_a_chinese_question_is_answered_from_chinese_passages() -> None:
    prompt = Message(
        "user", "[1] 月球\n月球绕地球运行。牛顿解释了潮汐。\n\n[2] 蜜蜂\n蜜蜂跳舞。\n\n问题：谁解释了潮汐？"
    )
    assert compose([prompt]).startswith("牛顿解释了潮汐。[1]")


async def test_the_usage_counts_what_was_sent() -> None:
    engine = await started(["one two", " three"])
    deltas = [delta async for delta in ask(engine)]
    assert [delta.finish for delta in deltas] == [None, None, "stop"]
    assert [delta.usage and delta.usage.completion_tokens for delta in deltas] == [2, 3, 3]
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.prompt_tokens == await engine.count_tokens(ASK)


async def test_the_answer_ends_at_max_tokens() -> None:
    engine = await started(["one two three four"])
    deltas = [delta async for delta in ask(engine, max_tokens=3)]
    assert "".join(delta.text for delta in deltas) == "one two three"
    assert deltas[-1].finish == "length"


async def test_an_echo_tells_the_prompts_tokens_and_writes_nothing() -> None:
    engine = await started([Scored(" two", -0.5)])
    for expected in ((Scored(" two", -0.5),), (Scored(" three", -5.0),)):  # by script, then the longer the rarer
        deltas = [delta async for delta in engine.stream("one three", Sampling(1, echo=True), request_id="r1")]
        assert tuple(token for delta in deltas for token in delta.tokens) == expected
        assert "".join(delta.text for delta in deltas) == ""
        assert deltas[-1].usage == Usage(6, deltas[-1].usage.cached_tokens if deltas[-1].usage else 0, 0, 1)


async def test_a_prompt_longer_than_the_context_is_bad_input() -> None:
    engine = await started(context_tokens=5)
    with pytest.raises(BadInput, match="shorten"):
        await anext(aiter(ask(engine)))


async def test_closing_a_stream_counts_as_aborted_and_leaves_none_open() -> None:
    engine = await started(["Hello", Silence()])
    stream = engine.stream(ASK, Sampling(9), request_id="r1")
    assert (await anext(stream)).text == "Hello"
    assert engine.open == 1
    await stream.aclose()
    assert (engine.open, engine.finished, engine.aborted) == (0, 0, 1)


async def test_cancelling_a_reader_counts_as_aborted() -> None:
    engine = await started(["Hello", Silence()])
    first = asyncio.Event()

    async def read() -> None:
        async for _ in ask(engine):
            first.set()

    reader = asyncio.create_task(read())
    await first.wait()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert (engine.open, engine.aborted) == (0, 1)


async def test_an_event_in_the_script_holds_the_answer() -> None:
    gate = asyncio.Event()
    engine = await started(["before", gate, "after"])
    stream = aiter(ask(engine))
    assert (await anext(stream)).text == "before"
    second = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert not second.done()
    gate.set()
    assert (await second).text == "after"


async def test_a_crash_fails_one_call_only() -> None:
    engine = await started(["Hel", Crash("no memory left")], ["fine"])
    with pytest.raises(Unavailable, match="no memory left"):
        _ = [delta async for delta in ask(engine)]
    assert "".join([delta.text async for delta in ask(engine)]) == "fine"


async def test_death_fails_every_open_stream_until_it_is_revived() -> None:
    engine = await started(["Hello", Silence()], [Death()], ["back"])
    waiting = aiter(ask(engine))
    await anext(waiting)
    with pytest.raises(Unavailable):
        await anext(aiter(ask(engine)))
    with pytest.raises(Unavailable):
        await anext(waiting)
    assert engine.health().state == "down"
    with pytest.raises(Unavailable):
        await anext(aiter(ask(engine)))
    engine.revive()
    assert (await anext(aiter(ask(engine)))).text == "back"


async def test_it_is_starting_until_its_gate_opens() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(gate=gate)
    await engine.start()
    assert engine.health().state == "starting"
    with pytest.raises(Unavailable, match="starting"):
        await anext(aiter(ask(engine)))
    gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert engine.health().state == "ready"


async def test_closing_the_engine_ends_its_streams() -> None:
    engine = await started(["Hello", Silence()])
    stream = aiter(ask(engine))
    await anext(stream)
    await engine.aclose()
    with pytest.raises(Unavailable):
        await anext(stream)
    assert engine.health().state == "stopped"


async def test_calls_are_recorded() -> None:
    engine = await started(["x"])
    _ = [delta async for delta in ask(engine)]
    assert (engine.calls[0].messages, engine.calls[0].request_id) == (ASK, "r1")


async def test_a_stop_string_ends_the_answer_and_is_named_but_not_said() -> None:
    engine = await started(["The answer", " is 4.\nQuest", "ion: more"])
    deltas = [delta async for delta in engine.stream(ASK, Sampling(100, stop=("\nQuestion:", ".")), request_id="r")]
    assert "".join(delta.text for delta in deltas) == "The answer is 4"
    assert (deltas[-1].finish, deltas[-1].stopped_by) == ("stop", ".")


async def test_probabilities_come_when_they_are_asked_for() -> None:
    sure = Scored(" yes", -0.1, ((" yes", -0.1), (" no", -2.4)))
    engine = await started([sure], [sure])
    asked = [delta async for delta in engine.stream(ASK, Sampling(5, logprobs=2), request_id="r")]
    assert asked[0].tokens == (sure,)
    assert [delta.tokens async for delta in engine.stream(ASK, Sampling(5), request_id="r")] == [(), ()]


async def test_calls_that_run_together_are_scripted_by_what_they_ask() -> None:
    engine = ScriptedEngine(lambda call: [call.messages[-1].content.upper()], tokens_per_s=0)
    await engine.start()
    async with asyncio.TaskGroup() as group:
        said = [group.create_task(whole(engine, prompt)) for prompt in ("one", "two")]
    assert [task.result() for task in said] == ["ONE", "TWO"]


async def whole(engine: ScriptedEngine, prompt: str) -> str:
    return "".join([delta.text async for delta in engine.stream(prompt, Sampling(10), request_id="r")])


@pytest.mark.parametrize("text", ["", "  a b", "答案是 42。ok\n\nnext", "trailing \n"])
async def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    "form", ["[{n}] {title}\n{text}", "Doc {n}(Title: {title}) {text}", "Passage {n} ({title}): {text}"]
)
async def test_passages_are_found_in_every_form_and_titles_are_not_quoted(form: str) -> None:
    passages = [("Tides (Newton)", "They were explained by Newton."), ("Bees", "Bees dance.")]
    shown = "\n\n".join(form.format(n=n, title=title, text=text) for n, (title, text) in enumerate(passages, 1))
    prompt = [Message("system", shown), Message("user", "Question: What did Newton explain?")]
    assert compose(prompt).startswith("They were explained by Newton. [1]")


async def test_it_understands_the_prompts_of_the_pipelines() -> None:
    newton = Passage("p1", "Tides", "They were explained by Newton. He was a physicist.", 1.0, "demo")
    bees = Passage("p2", "Bees", "Bees dance for each other.", 0.5, "demo")
    history = (Exchange("Why do bees dance?", "To tell where flowers are."),)
    assert compose(answer_prompt("Who explained the tides?", history, (bees, newton))) == (
        "They were explained by Newton. [2]"
    )
    assert "Who are you?" in compose(answer_prompt("Who are you?", history, ()))


async def test_a_request_to_rewrite_is_answered_with_the_question_itself() -> None:
    prompt = [
        Message("system", "Rewrite the last question so that it can stand alone."),
        Message("user", "User: Who was Newton?\nAssistant: A physicist.\n\nLast question: When did he die?"),
    ]
    assert compose(prompt) == "When did he die?"


async def test_a_single_passage_which_has_no_number_is_quoted_too() -> None:
    owl = Passage("1", "Owl", "It is a bird.\nOwls hunt at night.", 1.0, "birds")
    assert compose(answer_prompt("When do owls hunt?", (), (owl,))).startswith("Owls hunt at night. [1]")
