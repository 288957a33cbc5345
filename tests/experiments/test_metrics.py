"""`metric_cases.jsonl` holds what FlashRAG's own evaluator gave for each case, checked by hand against the formulas
(null: it raised and left the metric out)."""

import json
from pathlib import Path

import pytest

from app.backend.errors import BadInput
from app.backend.experiments.items import Item
from app.backend.experiments.metrics import Options, score

CASES = [json.loads(line) for line in Path(__file__).with_name("metric_cases.jsonl").read_text("utf-8").splitlines()]
NAMES = ("em", "acc", "f1", "precision", "recall", "bleu", "rouge-1", "rouge-2", "rouge-l")
ALL_NAMES = (*NAMES, "zh_rouge-1", "zh_rouge-2", "zh_rouge-l")


def answered(pred: str, *golden: str, **more: tuple[str, ...]) -> Item:
    return Item("?", golden, pred, **more)


def value(item: Item, metric: str, **options) -> float:
    return score([item], [metric], Options(**options))[metric].value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_each_metric_gives_what_flashrag_gives(case):
    scores = score([answered(case["pred"], *case["golden_answers"])], ALL_NAMES)
    got = {name: round(scores[name].value, 6) for name in ALL_NAMES}
    assert got == {name: pytest.approx(case["expected"][name] or 0.0, abs=1e-6) for name in ALL_NAMES}


def test_bleu_over_many_items_pools_their_words_as_flashrag_does():
    items = [answered(case["pred"], *case["golden_answers"]) for case in CASES]
    whole = [item for item in items if item.pred and all(item.golden_answers)]
    assert score(whole, ["bleu"])["bleu"].value == pytest.approx(0.4776672234646848)


def test_a_golden_pattern_must_match_the_whole_answer_for_em_and_any_part_for_acc():
    item = answered("It was in 1912.", r"19\d\d")
    assert (value(item, "em", regex=True), value(item, "acc", regex=True)) == (0.0, 1.0)
    assert value(answered("1912", r"19\d\d"), "em", regex=True) == 1.0


def test_retrieval_counts_the_best_passages_that_hold_a_golden_answer():
    passages = ("Paris\nThe capital of France", "Berlin\nGermany", "Rome\nItaly", "Lyon\nNear Paris", "x\ny", "Paris")
    item = answered("", "the Paris", retrieved=passages)
    scores = score([item], ["retrieval_recall", "retrieval_precision"])
    assert {s.key: s.value for s in scores.values()} == {
        "retrieval_recall_top5": 1.0,
        "retrieval_precision_top5": 0.4,
    }
    assert value(answered("", "Lyon", retrieved=passages), "retrieval_recall", topk=3) == 0.0
    assert value(answered("", "Berlin", retrieved=passages[:2]), "retrieval_precision") == 0.5  # of two, not of five


def test_an_item_without_passages_counts_nothing_instead_of_ending_the_metric():
    items = [answered("", "a", retrieved=("b a\n",)), answered("", "Paris")]
    assert score(items, ["retrieval_precision"])["retrieval_precision"].items[1] == 0.0


def test_ranked_metrics_follow_their_textbook_formulas():
    """Gold b and d, found at ranks 2 and 4: nDCG (1/log2 3 + 1/log2 5) / (1 + 1/log2 3), AP (1/2 + 2/4) / 2."""
    item = answered("", "x", retrieved_ids=("a", "b", "c", "d"), gold_ids=("b", "d"))
    scores = score([item], ["ndcg", "map", "mrr", "hit"])
    assert {name: round(s.value, 4) for name, s in scores.items()} == {
        "ndcg": 0.6509,
        "map": 0.5,
        "mrr": 0.5,
        "hit": 1.0,
    }
    assert value(item, "hit", topk=1) == 0.0


def test_a_passage_that_was_found_twice_or_is_named_twice_counts_once():
    item = answered("", "x", retrieved_ids=("b", "b", "c"), gold_ids=("b", "b"))
    assert {name: s.value for name, s in score([item], ["ndcg", "map", "mrr", "hit"]).items()} == {
        "ndcg": 1.0,
        "map": 1.0,
        "mrr": 1.0,
        "hit": 1.0,
    }
    assert value(answered("", "x", retrieved_ids=("a", "a", "b"), gold_ids=("b",)), "mrr") == 0.5


def test_items_whose_right_passages_nobody_knows_do_not_pull_the_ranking_down():
    known = answered("", "x", retrieved_ids=("b",), gold_ids=("b",))
    got = score([known, answered("", "x", retrieved_ids=("b",))], ["ndcg", "em"])
    assert (got["ndcg"].value, got["ndcg"].unknown, got["ndcg"].items) == (1.0, 1, (1.0, 0.0))
    assert got["em"].unknown == 0


def test_what_a_metric_lacks_is_said():
    with pytest.raises(BadInput, match="retrieval_result"):
        score([answered("a", "b")], ["retrieval_recall"])
    with pytest.raises(BadInput, match="gold_ids"):
        score([answered("a", "b")], ["ndcg"])
    with pytest.raises(BadInput, match="choose from em"):
        score([answered("a", "b")], ["exactness"])
    with pytest.raises(BadInput, match="no valid pattern"):
        score([answered("a", "(")], ["em"], Options(regex=True))
