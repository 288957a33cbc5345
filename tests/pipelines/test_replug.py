"""REPLUG, pinned to Shi et al. 2023: a prompt for each passage, next-token distributions mixed by retrieval scores."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.events import Degraded, Event, Thought, Token
from app.backend.pipelines.prompts import GIVEN
from app.backend.pipelines.replug import drawn, mixed, weights
from app.backend.protocols import Tools
from app.backend.types import Exchange, Sampling, Scored
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, registry, run

pytestmark = pytest.mark.anyio

END = "<|im_end|>"


class Readers:
    """Answers by the passage in the prompt and what was said; no passage's turn ends before all have been asked."""

    def __init__(self, distributions: Mapping[tuple[str, str], Mapping[str, float]]) -> None:
        self.distributions = distributions
        self.asked = 0
        self.turn = asyncio.Event()

    def __call__(self, call: Call) -> Sequence[Item]:
        said = call.messages[-1].content if call.messages[-1].role == "assistant" else ""
        title = call.messages[1].content.split("\n")[0]
        gate, self.asked = self.turn, self.asked + 1
        if self.asked % 2 == 0:
            self.turn.set()
            self.turn = asyncio.Event()
        ranked = sorted(self.distributions[title, said].items(), key=lambda pair: -pair[1])
        top = tuple((token, math.log(share)) for token, share in ranked)
        return [gate, Scored(*top[0], top)]


async def playing(distributions: Mapping[tuple[str, str], Mapping[str, float]]) -> ScriptedEngine:
    scripted = ScriptedEngine(Readers(distributions), tokens_per_s=0)
    await scripted.start()
    return scripted


def reasons(events: Sequence[Event]) -> list[str]:
    return [event.part for event in events if isinstance(event, Degraded)]


SURE, UNSURE = replace(BEES, score=1.0), replace(MOON, score=0.0)


async def test_each_token_is_the_likeliest_of_the_mixture_and_all_passages_go_on_from_it() -> None:
    scripted = await playing(
        {
            ("Bees", ""): {"Kepler": 0.5, "Newton": 0.45},
            ("Moon", ""): {"Newton": 0.9, "Kepler": 0.05},
            ("Bees", "Newton"): {" did": 0.9, END: 0.1},
            ("Moon", "Newton"): {END: 0.6, " did": 0.4},
            ("Bees", "Newton did"): {END: 1.0},
            ("Moon", "Newton did"): {END: 1.0},
        }
    )
    shelf = Shelf((SURE, UNSURE))
    events = await run("replug", ask("replug", "Who?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?"]
    assert [event.text for event in events if isinstance(event, Thought)] == ["[1] 0.73, [2] 0.27"]
    assert [event.text for event in events if isinstance(event, Token)] == ["Newton", " did"]
    assert done(events).answer == "Newton did"
    chats = prompts(scripted)
    assert len(chats) == 6
    assert [chat[1][1] for chat in chats[:2]] == [f"{p.title}\n{p.text}\n\nQuestion: Who?" for p in (SURE, UNSURE)]
    assert [chat[2] for chat in chats[2:]] == [("assistant", "Newton")] * 2 + [("assistant", "Newton did")] * 2
    assert {(call.sampling.max_tokens, call.sampling.logprobs) for call in scripted.calls} == {(1, 20)}
    assert reasons(events) == []


async def test_an_answer_of_too_many_tokens_is_cut_and_that_is_said() -> None:
    said = {"": "a", "a": "b"}
    scripted = await playing({(p, so_far): {token: 1.0} for p in ("Bees", "Moon") for so_far, token in said.items()})
    events = await run("replug", ask("replug", "Who?", max_tokens=2), scripted, Shelf((BEES, MOON)))
    assert (done(events).answer, reasons(events)) == ("ab", ["answer"])


async def test_without_probabilities_all_passages_are_read_at_once() -> None:
    def play(call: Call) -> list[Item]:
        return [] if call.sampling.logprobs else ["Newton."]

    scripted = ScriptedEngine(play, tokens_per_s=0)
    await scripted.start()
    events = await run("replug", ask("replug", "Who?"), scripted, Shelf((BEES, MOON)))
    assert (done(events).answer, reasons(events)) == ("Newton.", ["method"])


async def test_what_the_reader_sees_begins_with_a_word_and_ends_before_another_question() -> None:
    told = [[Scored(text, 0.0, ((text, 0.0),))] for text in ("\n", "Newton", ".", "\n", "Question", ":")]
    events = await run("replug", ask("replug", "Who?"), await engine(*told), Shelf((BEES,)))
    assert [event.text for event in events if isinstance(event, Token)] == ["Newton", ".", "\n"]
    assert done(events).answer == "Newton.\n"


async def test_blank_mixtures_lead_to_a_plain_answer() -> None:
    blank, end = Scored("\n", 0.0, (("\n", 0.0),)), Scored(END, 0.0, ((END, 0.0),))
    events = await run("replug", ask("replug", "Who?"), await engine([blank], [end], ["Newton."]), Shelf((BEES,)))
    assert [event.text for event in events if isinstance(event, Token)] == ["Newton."]
    assert (done(events).answer, reasons(events)) == ("Newton.", ["method"])


async def test_a_follow_up_is_searched_for_alone_and_read_with_its_conversation() -> None:
    history = (Exchange("Who painted the Mona Lisa?", "Leonardo da Vinci."),)
    shelf = Shelf((BEES,))
    end = Scored(END, 0.0, ((END, 0.0),))
    scripted = await engine(["When did Leonardo da Vinci die?"], [Scored("1519", 0.0, (("1519", 0.0),))], [end])
    events = await run("replug", ask("replug", "When did he die?", history), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["When did Leonardo da Vinci die?"]
    assert prompts(scripted)[2][-2:] == [("user", "Question: When did he die?"), ("assistant", "1519")]
    assert done(events).answer == "1519"


async def test_a_token_that_is_part_of_a_character_is_completed() -> None:
    part, end = Scored("\ufffd", 0.0, (("\ufffd", 0.0),)), Scored(END, 0.0, ((END, 0.0),))
    scripted = await engine([part], ["牛顿"], [end])
    assert done(await run("replug", ask("replug", "是谁？"), scripted, Shelf((BEES,)))).answer == "牛"


async def test_what_is_drawn_follows_from_the_seed() -> None:
    def either(call: Call) -> Sequence[Item]:
        top = tuple((f" {word}", -math.log(8)) for word in "abcdefgh")
        return [Scored(*top[0], top)]

    async def drawing(seed: int) -> str:
        scripted = ScriptedEngine(either, tokens_per_s=0)
        await scripted.start()
        query = ask("replug", "Who?", temperature=1.0, max_tokens=12)
        tools = Tools(scripted, Shelf((BEES, MOON)), "g1", seed=seed)
        return done([event async for event in registry().run("replug", query, tools)]).answer

    assert await drawing(7) == await drawing(7) != await drawing(8)


async def test_compat_reads_each_document_in_flashrags_prompt() -> None:
    end = Scored(END, 0.0, ((END, 0.0),))
    scripted = await engine([Scored("1519", 0.0, (("1519", 0.0),))], [end])
    await run("replug", ask("replug", "Who?", compat=True), scripted, Shelf((BEES,)))
    assert prompts(scripted)[0] == [
        ("system", f"{GIVEN}Document(Title: Bees): {BEES.text}\n"),
        ("user", "Question: Who?"),
    ]


def test_the_weights_are_a_softmax_of_the_scores_and_in_flashrag_their_shares() -> None:
    assert weights([1.0, 0.0], compat=False) == [pytest.approx(math.e / (math.e + 1)), pytest.approx(1 / (math.e + 1))]
    assert weights([3.0, 1.0], compat=True) == [0.75, 0.25]
    assert weights([0.0, 0.0], compat=True) == [0.5, 0.5]
    assert weights([1000.0, -1000.0], compat=False) == [1.0, 0.0]


def test_probabilities_are_mixed_by_sum_and_in_flashrag_logits() -> None:
    told = [{"a": 0.8, "b": 0.2}, {"a": 0.2, "c": 0.6}]
    assert mixed(told, [0.5, 0.5], compat=False) == {"a": 0.5, "b": 0.1, "c": 0.3}
    logits = mixed(told, [0.5, 0.5], compat=True)
    assert logits["a"] == pytest.approx(math.sqrt(0.8 * 0.2))
    assert logits["c"] == pytest.approx(math.sqrt(0.2 * 0.6))  # the first list lacks it: as its last


def test_tokens_are_drawn_as_the_parameters_say() -> None:
    likelihood, chance = {"a": 0.6, "b": 0.3, "c": 0.1}, random.Random(0)
    assert drawn(likelihood, {}, Sampling(1), chance) == "a"
    assert drawn(likelihood, {"a": 2}, Sampling(1, frequency_penalty=1.0), chance) == "b"
    many = [drawn(likelihood, {}, Sampling(1, temperature=1.0), chance) for _ in range(2000)]
    assert many.count("a") / 2000 == pytest.approx(0.6, abs=0.05)
    few = {drawn(likelihood, {}, Sampling(1, temperature=1.0, top_p=0.7), chance) for _ in range(200)}
    assert few == {"a", "b"}
