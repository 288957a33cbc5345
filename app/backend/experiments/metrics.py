"""The metrics, under FlashRAG's names and by its formulas (flashrag/evaluator/metrics.py), and a few that it lacks.

Invariant: a metric gives each item a number, also where FlashRAG's raises and is left out (an empty answer in ROUGE, no
passages in retrieval_precision): such an item counts 0. Only what nobody can know counts nothing (`Score.unknown`).
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from app.backend.errors import BadInput
from app.backend.experiments.bleu import bleu
from app.backend.experiments.grounded import groundedness
from app.backend.experiments.items import Item
from app.backend.experiments.rouge import rouge, zh_rouge

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLOSED = ("yes", "no", "noanswer")
BY_MODEL = ("llm_judge", "input_tokens")
"""Measured by `judged`, with an engine."""


@dataclass(frozen=True, slots=True)
class Options:
    """`topk` passages count in the retrieval metrics. `regex`: golden answers are patterns, as in curatedtrec."""

    topk: int = 5
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """A metric over a file: `key` is FlashRAG's name of the result, `items` one value each, `value` the whole.

    `unread` items count 0 because what a judge said of them could not be read. `unknown` items count nothing, because
    nobody knows which passages answer them.
    """

    key: str
    value: float
    items: tuple[float, ...]
    unread: int = 0
    unknown: int = 0


def normalize_answer(text: str) -> str:
    """SQuAD's: lower case, no ASCII punctuation, no English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def names() -> tuple[str, ...]:
    return (*_BY_ITEM, "bleu", *BY_MODEL)


def score(items: Sequence[Item], metrics: Sequence[str], options: Options = Options()) -> dict[str, Score]:
    """Each of `metrics` over `items`. Raises BadInput for an unknown name or data that a metric needs and lacks."""
    return {name: _score(items, name, options) for name in metrics}


def _score(items: Sequence[Item], name: str, options: Options) -> Score:
    if name not in names():
        raise BadInput(f"There is no metric {name[:80]!r}; choose from {', '.join(names())}.")
    if name in BY_MODEL:
        raise BadInput(f"{name} asks a model and is not measured here.")
    if name in _OF_PASSAGES and not any(item.retrieved for item in items):
        raise BadInput(f"{name} needs `retrieval_result` in the predictions.")
    if name in _RANKED and not any(item.gold_ids for item in items):
        raise BadInput(f"{name} needs the right passages: `metadata.gold_ids` in the predictions.")
    key = f"{name}_top{options.topk}" if name.startswith("retrieval_") else name
    if name == "bleu":
        pairs = [(item.pred, item.golden_answers) for item in items]
        return Score(key, bleu(pairs), tuple(bleu([pair]) for pair in pairs))
    values = tuple(_BY_ITEM[name](item, options) for item in items)
    known = [value for item, value in zip(items, values, strict=True) if item.gold_ids or name not in _RANKED]
    return Score(key, math.fsum(known) / len(known), values, unknown=len(values) - len(known))


def _em(item: Item, options: Options) -> float:
    """Equal to a golden answer, normalised."""
    pred = normalize_answer(item.pred)
    if options.regex:
        return float(any(_pattern(gold).fullmatch(pred) for gold in item.golden_answers))
    return float(any(normalize_answer(gold) == pred for gold in item.golden_answers))


def _acc(item: Item, options: Options) -> float:
    """Contains a golden answer, normalised; an answer inside a word counts, as in FlashRAG."""
    pred = normalize_answer(item.pred)
    if options.regex:
        return float(any(_pattern(gold).search(pred) for gold in item.golden_answers))
    return float(any(normalize_answer(gold) in pred for gold in item.golden_answers))


def _pattern(gold: str) -> re.Pattern[str]:
    try:
        return re.compile(gold, re.IGNORECASE)
    except re.error as error:
        raise BadInput(f"The golden answer {gold[:80]!r} is no valid pattern: {error}.") from error


def _overlap(item: Item, options: Options, *, which: int) -> float:
    """SQuAD's word overlap: f1, precision or recall (0, 1, 2), each the best over the golden answers by itself."""
    return max((_against(item.pred, gold)[which] for gold in item.golden_answers), default=0.0)


def _against(pred: str, gold: str) -> tuple[float, float, float]:
    pred, gold = normalize_answer(pred), normalize_answer(gold)
    if pred != gold and (pred in _CLOSED or gold in _CLOSED):
        return 0.0, 0.0, 0.0
    said, wanted = pred.split(), gold.split()
    same = sum((Counter(said) & Counter(wanted)).values())
    if not same:
        return 0.0, 0.0, 0.0
    precision, recall = same / len(said), same / len(wanted)
    return 2 * precision * recall / (precision + recall), precision, recall


def _holding(item: Item, options: Options) -> list[bool]:
    """Of the best `topk` passages, which hold a golden answer."""
    golds = [normalize_answer(gold) for gold in item.golden_answers]
    passages = [normalize_answer(contents) for contents in item.retrieved[: options.topk]]
    return [any(gold in contents for gold in golds) for contents in passages]


def _retrieval_recall(item: Item, options: Options) -> float:
    return float(any(_holding(item, options)))


def _retrieval_precision(item: Item, options: Options) -> float:
    holding = _holding(item, options)
    return sum(holding) / len(holding) if holding else 0.0


def _relevant(item: Item, options: Options) -> list[bool]:
    """Of the best `topk` passages, which are right; one that was found twice stands where it was found first."""
    return [passage in item.gold_ids for passage in dict.fromkeys(item.retrieved_ids)][: options.topk]


def _gold(item: Item, options: Options) -> int:
    """How many right passages `topk` can hold."""
    return min(len(set(item.gold_ids)), options.topk)


def _ndcg(item: Item, options: Options) -> float:
    """Binary nDCG@topk (Järvelin & Kekäläinen 2002)."""
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, _gold(item, options) + 1))
    gain = sum(hit / math.log2(rank + 1) for rank, hit in enumerate(_relevant(item, options), 1))
    return gain / ideal if ideal else 0.0


def _average_precision(item: Item, options: Options) -> float:
    relevant = _relevant(item, options)
    found = sum(sum(relevant[:rank]) / rank for rank, hit in enumerate(relevant, 1) if hit)
    return found / _gold(item, options) if item.gold_ids else 0.0


def _reciprocal_rank(item: Item, options: Options) -> float:
    return next((1 / rank for rank, hit in enumerate(_relevant(item, options), 1) if hit), 0.0)


def _hit(item: Item, options: Options) -> float:
    return float(any(_relevant(item, options)))


def _rouge(item: Item, options: Options, *, measure: Callable[[str, str], Mapping[str, float]], key: str) -> float:
    """The best F1 over the golden answers."""
    return max((measure(item.pred, gold)[key] for gold in item.golden_answers), default=0.0)


def _groundedness(item: Item, options: Options) -> float:
    return groundedness(item.pred, item.retrieved)


_OF_PASSAGES = ("retrieval_recall", "retrieval_precision", "groundedness")
_RANKED = ("ndcg", "map", "mrr", "hit")
_BY_ITEM: Mapping[str, Callable[[Item, Options], float]] = {
    "em": _em,
    "acc": _acc,
    "f1": partial(_overlap, which=0),
    "precision": partial(_overlap, which=1),
    "recall": partial(_overlap, which=2),
    "retrieval_recall": _retrieval_recall,
    "retrieval_precision": _retrieval_precision,
    **{key: partial(_rouge, measure=rouge, key=key) for key in ("rouge-1", "rouge-2", "rouge-l")},
    **{f"zh_{key}": partial(_rouge, measure=zh_rouge, key=key) for key in ("rouge-1", "rouge-2", "rouge-l")},
    "ndcg": _ndcg,
    "map": _average_precision,
    "mrr": _reciprocal_rank,
    "hit": _hit,
    "groundedness": _groundedness,
}
