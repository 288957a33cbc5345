"""The metrics that need a model, and how much of an answer its passages support."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app import cli
from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import BadInput, Unavailable
from app.backend.experiments import judged, metrics
from app.backend.experiments.items import Item

pytestmark = pytest.mark.anyio
ITEM = Item("Who wrote it?", ("Ada",), "Ada wrote it.", prompt="Who wrote it? Say the name.")
TOWER = "Eiffel Tower\nThe Eiffel Tower is 330 metres tall. It stands in Paris."


async def judge(items: list[Item], *said: str) -> tuple[metrics.Score, ScriptedEngine]:
    engine = ScriptedEngine([[text] for text in said], tokens_per_s=0)
    await engine.start()
    return (await judged.score(items, ["llm_judge"], engine))["llm_judge"], engine


@pytest.mark.parametrize(
    ("said", "rating"),
    [
        ("8", 0.8),
        (" 7.5\n", 0.75),
        ("Feedback:::\nTotal rating: 10", 1.0),
        ("I give 3 points. Total rating: 4/10", 0.4),
        ("0", 0.0),
        ("Good!", None),
        ("", None),
        ("85", None),
    ],
)
def test_a_rating_is_read_from_what_the_judge_says(said: str, rating: float | None) -> None:
    assert judged.rating_of(said) == rating


async def test_the_judge_is_asked_flashrags_words_greedily_and_its_ratings_are_from_0_to_1() -> None:
    score, engine = await judge([ITEM, replace(ITEM, pred="Bob {wrote} it.")], "9", "Total rating: 2")
    assert (score.key, score.value, score.items, score.unread) == (
        "llm_judge_score",
        pytest.approx(0.55),
        (0.9, 0.2),
        0,
    )
    message, begun = engine.calls[1].messages
    assert "Question: Who wrote it?\nAnswer: Bob {wrote} it.\n" in message.content
    assert (begun.role, begun.content) == ("assistant", "Feedback:::\nTotal rating:")
    assert engine.calls[1].sampling.temperature == 0


async def test_each_answer_is_judged_alone_so_the_order_of_the_file_changes_no_score() -> None:
    items = [replace(ITEM, pred=f"Answer {n}.") for n in range(5)]
    prompts = []
    for order in (items, items[::-1]):
        _, engine = await judge(order, *["5"] * 5)
        prompts.append({call.messages for call in engine.calls})
        assert all(sum(item.pred in call.messages[0].content for item in items) == 1 for call in engine.calls)
    assert prompts[0] == prompts[1]


async def test_what_cannot_be_read_counts_0_and_is_told() -> None:
    score, _ = await judge([ITEM, ITEM], "It is lovely.", "6")
    assert (score.value, score.unread) == (pytest.approx(0.3), 1)


async def test_prompts_are_counted_by_the_engines_tokenizer_and_must_be_there() -> None:
    engine = ScriptedEngine(tokens_per_s=0)
    await engine.start()
    longer = replace(ITEM, prompt="Who wrote it? " * 50)
    scores = await judged.score([ITEM, longer], ["input_tokens"], engine)
    assert scores["input_tokens"].items == (
        await engine.count_tokens(ITEM.prompt or ""),
        await engine.count_tokens(longer.prompt or ""),
    )
    assert scores["input_tokens"].key == "avg_input_tokens"
    with pytest.raises(BadInput, match="prompt"):
        await judged.score([replace(ITEM, prompt=None)], ["input_tokens"], engine)


async def test_an_engine_that_is_down_says_why() -> None:
    engine = ScriptedEngine()
    await engine.start()
    engine.die("The engine ran out of memory.")
    with pytest.raises(Unavailable, match="out of memory"):
        await judged.score([ITEM], ["llm_judge"], engine)


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("The Eiffel Tower is 330 metres tall.", 1.0),
        ("The Eiffel Tower is 330 metres tall. Bananas are blue on Mars.", 0.5),
        ("Bananas are blue on Mars [1].", 0.0),
        ("", 0.0),
    ],
)
def test_groundedness_is_the_share_of_sentences_that_a_passage_supports(answer: str, share: float) -> None:
    item = replace(ITEM, pred=answer, retrieved=("Bees\nBees collect nectar.", TOWER))
    assert metrics.score([item], ["groundedness"])["groundedness"].value == share


def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    file = tmp_path / "p.jsonl"
    record = {"question": "Who?", "golden_answers": ["Ada"], "pred": "Ada", "prompt": "Who? Say it."}
    file.write_text(json.dumps(record))
    code = cli.run(["score", "--predictions", str(file), "--data", str(tmp_path), *arguments])
    return code, *capsys.readouterr()


def test_without_an_engine_it_is_said_what_is_needed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, tmp_path, "--metrics", "em,llm_judge")
    assert (code, out) == (2, "")
    assert "--engine-url" in err
    assert len(err.splitlines()) == 1


def test_scores_come_in_the_order_that_was_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ("--profile", "scripted", "--engine", "scripted", "--json")
    code, out, _ = run(capsys, tmp_path, "--metrics", "input_tokens,em,llm_judge", *flags)
    assert code == 0
    assert list(json.loads(out.splitlines()[-1])) == ["n", "input_tokens", "em", "llm_judge"]
