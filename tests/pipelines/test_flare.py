"""FLARE, pinned to Jiang et al. 2023: look ahead, search for the probable tokens of an unsure sentence, write again."""

from __future__ import annotations

import math

import pytest

from app.backend.events import Degraded, Retrieved, Token
from app.backend.pipelines import prompts as texts
from app.backend.types import Exchange, Scored
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


def tokens(text: str, **improbable: float) -> list[Scored]:
    """The words of `text`, all certain but the `improbable` ones."""
    return [Scored(f" {word}", math.log(improbable.get(word.strip("."), 1.0))) for word in text.split()]


async def test_a_sentence_the_model_is_sure_of_is_taken_and_an_unsure_one_is_written_again_from_passages() -> None:
    shelf = Shelf((BEES, MOON))
    scripted = await engine(
        tokens("The Moon makes tides. Then more follows."),
        tokens("Einstein explained them in 1905. And so on.", Einstein=0.2, **{"1905": 0.1}),
        tokens("Newton explained them. And so on."),
        tokens("That is all.", That=0.21),
    )
    events = await run("flare", ask("flare", "Who explained the tides?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["explained them in"]
    alone, read = ("user", "Who explained the tides?"), [("system", texts.FROM_PASSAGES)]
    first = ("assistant", "The Moon makes tides.")
    chats = prompts(scripted)
    assert chats[0] == [("system", texts.FROM_MEMORY), alone]
    assert chats[1] == [("system", texts.FROM_MEMORY), alone, first]
    assert chats[2][:1] == read
    assert MOON.text in chats[2][1][1]
    assert chats[2][2] == first
    assert chats[3][2] == ("assistant", "The Moon makes tides. Newton explained them.")
    assert [call.sampling.max_tokens for call in scripted.calls] == [64] * 4
    told = [event.text for event in events if isinstance(event, Token)]
    assert told == ["The Moon makes tides.", " Newton explained them.", " That is all."]
    assert done(events).answer == "".join(told)
    assert not [event for event in events if isinstance(event, Degraded)]


async def test_a_model_that_is_sure_searches_nothing_and_cites_nothing() -> None:
    shelf = Shelf()
    events = await run("flare", ask("flare", "What?"), await engine(tokens("It is 42.")), shelf)
    assert shelf.searches == []
    assert (done(events).answer, done(events).citations) == ("It is 42.", ())


async def test_without_one_probable_token_there_is_nothing_to_search_for() -> None:
    shelf = Shelf()
    events = await run("flare", ask("flare", "What?"), await engine(tokens("Eh.", Eh=0.1)), shelf)
    assert shelf.searches == []
    assert done(events).answer == "Eh."


async def test_the_answer_ends_at_its_limits_and_says_so() -> None:
    events = await run("flare", ask("flare", "?", max_iter_num=1), await engine(tokens("One. Two.")))
    assert Degraded("answer", "The answer was cut at max_iter_num (1 sentences).") in events
    assert done(events).answer == "One."
    scripted = await engine(tokens("One two."), tokens("Three four."))
    events = await run("flare", ask("flare", "?", max_generation_length=3, look_ahead_steps=2), scripted)
    assert [call.sampling.max_tokens for call in scripted.calls] == [2, 1]
    assert [event.part for event in events if isinstance(event, Degraded)] == ["answer"]
    assert done(events).answer == "One two. Three"


async def test_a_sentence_that_comes_again_or_silence_ends_the_answer() -> None:
    events = await run("flare", ask("flare", "?"), await engine(tokens("One. X"), tokens("One. X")))
    assert Degraded("answer", "The model began to repeat itself and was stopped.") in events
    assert done(events).answer == "One."
    events = await run("flare", ask("flare", "?"), await engine([]))
    assert Degraded("answer", "The model wrote nothing.") in events


async def test_a_follow_up_is_answered_with_the_conversation_and_numbers_stay_over_rounds() -> None:
    scripted = await engine(
        tokens("He did 1687.", He=0.1), tokens("In 1687. X"), tokens("It was X.", It=0.1), tokens("Newton did [2].")
    )
    history = [Exchange("Who explained the tides?", "Newton did.")]
    events = await run("flare", ask("flare", "When?", history), scripted, Shelf((BEES, MOON)))
    assert prompts(scripted)[0][1:] == [
        ("user", "Who explained the tides?"),
        ("assistant", "Newton did."),
        ("user", "When?"),
    ]
    assert [event.numbers for event in events if isinstance(event, Retrieved)] == [(1, 2), (1, 2)]
    assert (2, MOON.id) in [(c.n, c.passage_id) for c in done(events).citations]


async def test_an_answer_that_fills_the_context_ends_there() -> None:
    scripted = await engine(tokens(f"{'word ' * 20}end. More"), tokens("More."), context_tokens=100)
    events = await run("flare", ask("flare", "Why?", max_tokens=70), scripted)
    assert done(events).answer.startswith("word")
    assert [event.part for event in events if isinstance(event, Degraded)] == ["answer"]
