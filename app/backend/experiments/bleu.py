"""BLEU as FlashRAG computes it (Papineni et al. 2002 in the form of Google's NMT): 13a words, up to four of them in a
row, no smoothing, and the shortest reference for the brevity penalty. sacrebleu takes the closest one instead, so only
its tokenizer is used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

MAX_ORDER = 4
_NGrams = Counter[tuple[str, ...]]


def bleu(pairs: Sequence[tuple[str, Sequence[str]]]) -> float:
    """Corpus BLEU, 0 to 1, of (answer, golden answers) pairs."""
    said_words = wanted_words = 0
    matched, possible = [0] * MAX_ORDER, [0] * MAX_ORDER
    for answer, golden in pairs:
        said, references = _words(answer), [_words(gold) for gold in golden]
        said_words += len(said)
        wanted_words += min(map(len, references))
        allowed: _NGrams = Counter()
        for reference in references:
            allowed |= _ngrams(reference)
        for ngram, count in (_ngrams(said) & allowed).items():
            matched[len(ngram) - 1] += count
        for order in range(MAX_ORDER):
            possible[order] += max(0, len(said) - order)
    if not all(matched):
        return 0.0
    logs = (math.log(hits / tries) for hits, tries in zip(matched, possible, strict=True))
    brevity = min(1.0, math.exp(1 - wanted_words / said_words))
    return brevity * math.exp(math.fsum(logs) / MAX_ORDER)


def _words(text: str) -> list[str]:
    return _tokenizer()(text).split()


@cache
def _tokenizer() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer: Callable[[str], str] = Tokenizer13a()
    return tokenizer


def _ngrams(words: Sequence[str]) -> _NGrams:
    return Counter(
        tuple(words[start : start + order])
        for order in range(1, MAX_ORDER + 1)
        for start in range(len(words) - order + 1)
    )
