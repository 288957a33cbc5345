"""TRACE, pinned to Fang et al. 2024: triples of each passage, chains grown by the probabilities of the choices, and the
best chains, or their passages, to answer from.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.events import Degraded, Step, Thought
from app.backend.pipelines.trace import Chain, Triple, begin, choice, extraction, grounded, parsed, read
from app.backend.types import Passage, Scored
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

TIDES = "<Moon; tides explained by; Newton>"
ORBIT = "<Moon; orbits; Earth>"
DANCE = "<Bees; tell by dancing; where flowers are>"


class Alike(Shelf):
    """Everything is as close to everything, so that triples are offered in their order."""

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        return ((1.0,),) * len(texts)


def letters(**shares: float) -> list[Item]:
    top = tuple((f" {letter}", math.log(share)) for letter, share in shares.items())
    return [Scored(top[0][0], top[0][1], top)]


async def choosing(*choices: Sequence[Item]) -> ScriptedEngine:
    """Triples for the two passages, then `choices` in the order they are asked for, then an answer."""
    left = list(choices)

    def script(call: Call) -> Sequence[Item]:
        begun = call.messages[-1].content
        if begun in ("<Moon;", "<Bees;"):
            text = f"{TIDES}\n{ORBIT}\n<broken; triple>" if begun == "<Moon;" else DANCE
            return [text.removeprefix(begun)]
        return left.pop(0) if call.sampling.logprobs else ["Newton explained the tides [2]."]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()
    return scripted


async def test_triples_are_extracted_chained_and_read_under_their_passage() -> None:
    scripted = await choosing(letters(B=0.9), letters(A=0.8))
    events = await run("trace", ask("trace", "Who explained the tides?"), scripted, Alike((BEES, MOON)))
    chats = prompts(scripted)
    assert chats[0] == [(m.role, m.content) for m in extraction(BEES, 3)]
    assert chats[2] == [
        (m.role, m.content) for m in choice(1, "Who explained the tides?", (), (DANCE, TIDES, ORBIT), 3)
    ]
    assert chats[3] == [(m.role, m.content) for m in choice(2, "Who explained the tides?", (DANCE,), (TIDES, ORBIT), 3)]
    assert Thought(f"{DANCE}\n{TIDES}\n{ORBIT}") in events
    assert chats[4][-1][1] == "Bees\nBees tell by dancing where flowers are\n\nQuestion: Who explained the tides?"
    assert [(c.n, c.passage_id) for c in done(events).citations] == [(2, MOON.id)]
    names = [event.name for event in events if isinstance(event, Step)]
    assert names == ["retrieve", "refine", "triples", "chain", "chain", "generate", "cite"]


async def test_the_prompts_are_the_published_ones() -> None:
    system, user, begun = choice(2, "Who?", (ORBIT,), (TIDES, DANCE), 1)
    assert system.content.startswith("Select the next knowledge triple that extends an existing set of knowledge")
    assert "how the 2-th knowledge triples in these paths are selected:\n\ncoherent reasoning path: <" in system.content
    assert system.content.endswith("the next possible triple is:C\n")
    assert user.content == (
        "The 2-th triple in the reasoning path is selected as:\n"
        f"existing knowledge triples: {ORBIT}\nquestion: Who?\ncandidate knowledge triples:\n"
        f"A. no need for additional knowledge triples\nB. {TIDES}\nC. {DANCE}"
    )
    assert (begun.role, begun.content) == ("assistant", "the next possible triple is:")
    assert choice(4, "Who?", (), (), 3)[0].content.endswith("choice for the next knowledge triple.\n\n")
    _, user, begun = extraction(MOON, 0)
    assert begun.content == "<Moon;"
    assert begin(Passage("x", "A <b>; c", "", 1.0, "demo")) == "<A b c;"
    assert user.content == f"Title: Moon\nText: {MOON.text}\nKnowledge Triples: "


async def test_the_likeliest_choices_are_followed_together_and_their_probabilities_multiplied() -> None:
    first, second = letters(C=0.6, D=0.3, B=0.1), (letters(A=0.75, C=0.25), letters(A=1.0))
    scripted = await choosing(first, *second, letters(A=1.0))
    events = await run("trace", ask("trace", "Who?", num_beams=2), scripted, Alike((BEES, MOON)))
    thoughts = [event.text for event in events if isinstance(event, Thought)]
    assert thoughts[1] == f"0.450 {TIDES}\n0.300 {ORBIT}\n0.150 {TIDES} {ORBIT}"
    assert "Moon\nMoon tides explained by Newton\nMoon orbits Earth\n" in prompts(scripted)[-1][-1][1]


async def test_only_the_best_chains_are_kept_and_read() -> None:
    scripted = await choosing(letters(C=0.6, D=0.3, B=0.1), letters(A=1.0), letters(A=1.0))
    query = ask("trace", "Who?", num_chains=2, n_context=1)
    events = await run("trace", query, scripted, Alike((BEES, MOON)))
    assert [event.text for event in events if isinstance(event, Thought)][1] == f"0.600 {TIDES}"
    assert len(scripted.calls) == 6


async def test_a_choice_that_is_too_improbable_is_not_followed() -> None:
    scripted = await choosing(letters(C=0.9, D=0.1), letters(A=1.0))
    await run("trace", ask("trace", "Who?", min_triple_prob=0.2), scripted, Alike((BEES, MOON)))
    assert ORBIT[1:-1].replace(";", "") not in prompts(scripted)[-1][-1][1]


async def test_a_chain_ends_when_the_model_names_no_letter_and_at_its_longest() -> None:
    scripted = await choosing(letters(C=1.0), ["so"])
    await run("trace", ask("trace", "Who?"), scripted, Alike((BEES, MOON)))
    assert len(scripted.calls) == 5
    scripted = await choosing(letters(C=1.0))
    await run("trace", ask("trace", "Who?", max_chain_length=1), scripted, Alike((BEES, MOON)))
    assert len(scripted.calls) == 4


async def test_the_passages_of_the_chains_can_be_read_instead() -> None:
    scripted = await choosing(letters(C=1.0), letters(A=1.0))
    await run("trace", ask("trace", "Who?", context_type="triple-doc"), scripted, Alike((BEES, MOON)))
    assert prompts(scripted)[-1][-1][1] == f"Moon\n{MOON.text}\n\nQuestion: Who?"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([["no"], ["no"]], "The model found no knowledge triples in the passages."),
        ([[" a; sleep>"], ["-"], ["so"]], "The model chose no knowledge triples."),
    ],
)
async def test_a_model_that_cannot_leaves_the_passages_whole(script: Sequence[Sequence[Item]], reason: str) -> None:
    scripted = await engine(*script, ["Newton."])
    events = await run("trace", ask("trace", "Who?"), scripted, Alike((BEES, MOON)))
    assert Degraded("refine", f"{reason} The passages are read whole.") in events
    assert MOON.text in prompts(scripted)[-1][-1][1]
    assert done(events).answer == "Newton."


async def test_eight_at_once_on_one_engine_do_not_mix() -> None:
    def script(call: Call) -> Sequence[Item]:
        text = call.messages[1].content
        number = text[text.index("topic") + 5]
        if text.endswith("Knowledge Triples: "):
            return [f" is about; topic{number}>"]
        if call.sampling.logprobs:
            return (
                letters(A=1.0)
                if f"existing knowledge triples: <fact; is about; topic{number}>" in text
                else letters(B=1.0)
            )
        assert f"fact is about topic{number}" in text
        return [f"It is topic{number}."]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()

    async def one(number: int) -> None:
        passage = Passage(f"p{number}", "fact", f"This is about topic{number}.", 1.0, "demo")
        events = await run("trace", ask("trace", f"What of topic{number}?"), scripted, Alike([passage]))
        assert done(events).answer == f"It is topic{number}."
        assert {c.passage_id for c in done(events).citations} == {f"p{number}"}

    await asyncio.gather(*map(one, range(8)))


def test_only_well_formed_triples_count_and_each_once() -> None:
    written = "1. <A; is;  B>\n<A; is; B>\n<A; B>\n<; is; B> <C, D; of; E; F> <unclosed; triple; x"
    assert parsed(written, 3) == [Triple("<A; is; B>", 3), Triple("<C, D; of; E; F>", 3)]


def test_a_triple_about_something_that_is_not_in_its_passage_was_invented() -> None:
    written = [f"{TIDES} <Moon; date of birth; 1729>", "<Bees; dance; tides>"]
    assert grounded(written, (MOON, BEES)) == [Triple(TIDES, 0)]


def test_the_passage_with_most_links_comes_first() -> None:
    triples = [Triple(DANCE, 0), Triple(TIDES, 1), Triple(ORBIT, 1)]
    assert read([Chain((0, 1)), Chain((2,))], triples, (BEES, MOON), "triple-doc") == (MOON, BEES)
