"""RECOMP, pinned to Xu et al. 2024: the closest sentences of all passages, or a summary that may be empty."""

from __future__ import annotations

import pytest

from app.backend.events import Degraded, Thought
from app.backend.pipelines import prompts as texts
from app.backend.pipelines.recomp_abstractive import FROM_SUMMARY
from app.backend.pipelines.recomp_extractive import closest
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


async def test_the_closest_sentences_are_read_in_the_order_of_the_text() -> None:
    scripted = await engine(["Newton."])
    query = ask("recomp-extractive", "The Moon?", refiner_topk=2)  # first words: The, Bees, They, The, Its
    await run("recomp-extractive", query, scripted, Shelf((MOON, BEES)))
    asked = prompts(scripted)[0][-1][1]
    assert "[2] Bees\nBees dance to tell where flowers are.\n" not in asked
    assert "The Moon orbits the Earth. Its tides" in asked


def test_the_closest_vectors_come_first_and_equals_in_their_order() -> None:
    assert closest((1.0, 0.0), [(0.0, 1.0), (0.6, 0.8), (1.0, 0.0), (0.6, -0.8)], 3) == [2, 1, 3]


async def test_the_summary_is_asked_for_as_published_and_read_in_place_of_the_passages() -> None:
    scripted = await engine(["Newton explained the tides."], ["Newton explained the tides."])
    query = ask("recomp-abstractive", "Who explained the tides?", refiner_max_output_length=99)
    events = await run("recomp-abstractive", query, scripted, Shelf((BEES, MOON)))
    asked, answered = prompts(scripted)
    assert asked == [
        (
            "user",
            "Compress the information in the retrieved documents into a 2-sentence summary that could be used to "
            "answer the question: Question: Who explained the tides? Retrieved documents: "
            f"{BEES.text}\n{MOON.text} Compressed documents:",
        )
    ]
    assert scripted.calls[0].sampling.max_tokens == 99
    assert answered[0] == ("system", FROM_SUMMARY)
    assert answered[1][1] == "Summary\nNewton explained the tides.\n\nQuestion: Who explained the tides?"
    assert Thought("Summary\nNewton explained the tides.") in events
    assert [c.passage_id for c in done(events).citations] == [MOON.id]


async def test_an_empty_summary_means_no_passages() -> None:
    scripted = await engine([" \n"], ["I do not know."])
    events = await run("recomp-abstractive", ask("recomp-abstractive", "Who?"), scripted)
    assert prompts(scripted)[1][0] == ("system", texts.FROM_MEMORY)
    assert [event.part for event in events if isinstance(event, Degraded)] == ["refine"]
    assert (done(events).answer, done(events).citations) == ("I do not know.", ())
