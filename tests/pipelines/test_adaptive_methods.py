"""SKR, Adaptive-RAG and corrective RAG, pinned to their papers: whether, how often and how far it is searched."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.errors import BadInput, Unavailable
from app.backend.events import Degraded, Event, Searched, Step, Thought
from app.backend.pipelines import skr
from app.backend.pipelines.crag import JUDGE, NOT_FOUND, strips
from app.backend.pipelines.neighbours import Labelled, Neighbours, read
from app.backend.pipelines.registry import create_registry
from app.backend.protocols import Tools
from app.backend.types import Exchange, Passage, RetrieverName, Scored
from app.settings import RetrievalSettings, Settings
from tests.pipelines.doubles import BEES, MOON, RUST, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

HISTORY = (Exchange("Who painted the Mona Lisa?", "Leonardo da Vinci."),)
ALONE = "When did Leonardo da Vinci die?"


def choice(**shares: float) -> list[Item]:
    """A call whose first token is each of these words with its probability."""
    top = tuple((word, math.log(share)) for word, share in shares.items())
    return [Scored(*top[0], top)]


def degraded(events: Sequence[Event]) -> list[str]:
    return [event.part for event in events if isinstance(event, Degraded)]


def thoughts(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Thought)]


# SKR


async def test_skr_asks_the_model_and_searches_when_it_needs_more() -> None:
    shelf = Shelf()
    scripted = await engine(choice(Yes=0.6, No=0.2), ["Newton."])
    events = await run("skr", ask("skr", "Who?"), scripted, shelf)
    asked = "Who?\nDo you need additional information to answer this question? Answer yes or no."
    assert prompts(scripted)[0] == [("user", asked)]
    assert [text for text, *_ in shelf.searches] == ["Who?"]
    assert thoughts(events) == ["A search is needed: 0.75"]


async def test_skr_answers_from_memory_what_the_model_knows() -> None:
    shelf = Shelf()
    events = await run("skr", ask("skr", "Who?"), await engine(choice(No=0.9, Yes=0.1), ["Newton."]), shelf)
    assert (shelf.searches, done(events).answer, degraded(events)) == ([], "Newton.", [])


async def test_skr_searches_when_the_model_says_neither() -> None:
    shelf = Shelf()
    events = await run("skr", ask("skr", "When did he die?", HISTORY), await engine([ALONE], ["Hm"], ["1519"]), shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE]
    assert degraded(events) == ["method"]


@pytest.fixture
def judger_data(tmp_path: Path) -> Path:
    path = tmp_path / "judger.json"
    rows = [("who wrote", "ir_worse"), ("who was", "ir_worse"), ("when did", "ir_better"), ("where is", "ir_worse")]
    path.write_text(json.dumps([{"question": q, "judgement": j} for q, j in rows]), "utf-8")
    return path


async def test_skr_with_labelled_questions_asks_the_nearest_and_not_the_model(judger_data: Path) -> None:
    registry = create_registry(Settings(retrieval=RetrievalSettings(judger_data=judger_data)))
    for question, searched in (("Who is it?", 0), ("When was it?", 1)):
        shelf, scripted = Firsts(), await engine(["Then."])
        query = ask("skr", question, topk=1)
        events = [event async for event in registry.run("skr", query, Tools(scripted, shelf, "g1"))]
        assert (len(shelf.searches), len(scripted.calls)) == (searched, 1)
        assert (events[0], done(events).answer) == (Step("mode", "native"), "Then.")


class Firsts(Shelf):
    """Vectors that say with which of four words a text begins."""

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        firsts = [text.split()[0].lower() for text in texts]
        return tuple(tuple(float(first == word) for word in ("who", "when", "where")) for first in firsts)


class NoEncoder(Shelf):
    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        raise Unavailable("There is no encoder.")


async def test_skr_asks_the_model_when_there_is_no_encoder(judger_data: Path) -> None:
    tools = Tools(await engine(choice(no=1.0), ["Newton."]), NoEncoder(), "g1")
    events = [event async for event in skr.informed(judger_data).run(ask("skr", "Who?"), tools)]
    assert (degraded(events), done(events).answer) == (["method"], "Newton.")


@pytest.mark.parametrize(
    ("better", "worse", "near", "searches"),
    [
        (6, 4, "++--+", True),  # leans +1, and the bar is 5 * 2 / 10 = 1
        (6, 4, "++---", False),
        (8, 2, "+++--", False),  # leans +1, but the bar is 3
        (8, 2, "++++-", True),
        (4, 6, "--+-+", False),  # leans -1, and the bar is -1
        (2, 8, "--+-+", True),  # leans -1, but the bar is -3
        (2, 8, "-----", False),
    ],
)
def test_the_vote_of_the_paper(better: int, worse: int, near: str, searches: bool) -> None:
    known = [Labelled("q", "ir_better")] * better + [Labelled("q", "ir_worse")] * worse
    voters = [Labelled("q", "ir_better" if sign == "+" else "ir_worse") for sign in near]
    assert Neighbours(known).search_helps(voters) is searches


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '[{"question": "q"}]', '[{"question": "q", "judgement": "same"}]']
)
def test_wrong_labelled_questions_are_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "wrong.json").write_text(content, "utf-8")
    with pytest.raises(BadInput, match=r"retrieval\.judger_data"):
        read(tmp_path / "wrong.json")
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "none.json")


# Adaptive-RAG


@pytest.mark.parametrize(("letter", "searches"), [("A", 0), ("B", 1)])
async def test_simple_questions_are_answered_from_memory_or_from_one_search(letter: str, searches: int) -> None:
    shelf = Shelf()
    scripted = await engine([ALONE], choice(**{letter: 0.5, "C": 0.1}), ["1519."])
    events = await run("adaptive", ask("adaptive", "When did he die?", HISTORY), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE] * searches
    assert prompts(scripted)[1][-1] == ("user", f"Question: {ALONE}\nLetter:")
    assert done(events).answer == "1519."


async def test_complex_questions_go_to_ircot_with_five_thoughts_at_most() -> None:
    shelf = Shelf()
    scripted = await engine(choice(C=0.9), *([f"Thought {n}."] for n in range(5)), ["Newton."])
    events = await run("adaptive", ask("adaptive", "Who?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", *(f"Thought {n}." for n in range(5))]
    assert done(events).answer == "Newton."


async def test_a_model_that_names_no_letter_searches_once() -> None:
    shelf = Shelf()
    events = await run("adaptive", ask("adaptive", "Who?"), await engine(["Hm"], ["Newton."]), shelf)
    assert (len(shelf.searches), degraded(events), done(events).answer) == (1, ["method"], "Newton.")


# Corrective RAG


def judging(helps: Callable[[str], float], **said: str) -> Callable[[Call], Sequence[Item]]:
    """A model that judges a passage by its text; `said` holds what else it writes, by the beginning of its system."""

    def play(call: Call) -> Sequence[Item]:
        system, user = call.messages[0].content, call.messages[-1].content
        if user.endswith(JUDGE):
            return choice(yes=max(helps(user), 1e-9), no=max(1 - helps(user), 1e-9))
        return [next(text for begin, text in said.items() if system.startswith(begin))]

    return play


async def scripted_by(play: Callable[[Call], Sequence[Item]]) -> ScriptedEngine:
    scripted = ScriptedEngine(play, tokens_per_s=0)
    await scripted.start()
    return scripted


async def test_a_good_passage_is_read_without_the_others_and_without_what_does_not_help() -> None:
    long = Passage("m", "Moon", "The Moon is round. It is grey. Newton explained tides. He was right.", 0.9, "demo")
    scripted = await scripted_by(judging(lambda text: 0.9 if "Newton" in text else 0.01, Answer="Newton."))
    shelf = Shelf((BEES, long, RUST))
    events = await run("crag", ask("crag", "Who?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?"]
    assert thoughts(events) == ["[1] 0.01, [2] 0.90, [3] 0.01"]
    assert prompts(scripted)[0] == [("user", f"{BEES.title}\n{BEES.text}\n\nQuestion: Who?\n{JUDGE}")]
    read = prompts(scripted)[-1][1][1]
    assert read == "Moon\nNewton explained tides. He was right.\n\nQuestion: Who?"
    assert {c.passage_id for c in done(events).citations} <= {"m"}


class Second(Shelf):
    """Finds other passages for every text but the first."""

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        found = await super().search(query, corpus=corpus, top_k=top_k, retriever=retriever)
        return found if len(self.searches) == 1 else (MOON,)


async def test_when_no_passage_is_good_it_searches_again_with_other_words() -> None:
    scripted = await scripted_by(
        judging(lambda t: 0.9 if "Newton" in t else 0.01, Write='"tides"', Answer="Newton [3].")
    )
    shelf = Second((BEES, RUST))
    events = await run("crag", ask("crag", "Who?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", "tides"]
    assert thoughts(events) == ["[1] 0.01, [2] 0.01", "[3] 0.90"]
    assert [c.passage_id for c in done(events).citations] == ["a"]


@pytest.mark.parametrize(("question", "said"), [("Who?", NOT_FOUND["en"]), ("是谁？", NOT_FOUND["zh"])])
async def test_what_is_not_in_the_corpus_is_said_to_be_so(question: str, said: str) -> None:
    scripted = await scripted_by(judging(lambda _: 0.01, Write="tides"))
    events = await run("crag", ask("crag", question), scripted)
    assert (done(events).answer, done(events).citations) == (said, ())


async def test_middling_passages_are_read_beside_those_of_the_second_search() -> None:
    scripted = await scripted_by(judging(lambda t: 0.5 if "Bees" in t else 0.9, Write="tides", Answer="Newton."))
    await run("crag", ask("crag", "Who?", refine=False), scripted, Second((BEES,)))
    read = prompts(scripted)[-1][1][1]
    assert BEES.text in read
    assert MOON.text in read


async def test_a_model_that_does_not_judge_reads_everything() -> None:
    scripted = await engine([ALONE], ["Hm"], ["Hm"], ["1519."])
    shelf = Shelf((BEES, MOON))
    events = await run("crag", ask("crag", "When did he die?", HISTORY), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE]
    assert MOON.text in prompts(scripted)[-1][1][1]
    assert (degraded(events), done(events).answer) == (["method"], "1519.")
    assert len([event for event in events if isinstance(event, Searched)]) == 1


def test_a_text_is_cut_into_a_few_stretches_of_sentences() -> None:
    assert strips("One. Two. Three.") == ["One. Two.", "Three."]
    assert len(strips("Bees fly. " * 100)) == 4
    assert strips("") == [""]
