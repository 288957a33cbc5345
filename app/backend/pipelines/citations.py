"""Which passages an answer rests on, and where: the model's own [n]; for sentences without one, what agrees with them.

Invariant: every citation names a passage that was given, every span lies in its text, and no input raises.

A sentence is aligned to the passage that holds most of its words, weighted by rarity: a word of every sentence counts
little, a word of none most. `SUPPORT` of the weight must be found in the title and at most `SPANS` sentences, each of
which adds `GAIN`, so that a sentence half of the model's own making is not aligned. All its numbers must be there: a
wrong number is the mistake a reader would not forgive. One word is enough only if it is all there is, one place
alone has it, and it is no small number. A question claims nothing and is never aligned.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from app.backend.text import sentences, words
from app.backend.types import Citation, Passage, Span

SUPPORT = 0.6
GAIN = 0.12
SPANS = 3

_NUMBERS = r"\d{1,3}(?:[ ]?[,，、;][ ]?\d{1,3})*"
_MARKER = rf"(?:\[{_NUMBERS}\]|【{_NUMBERS}】)(?!\()"
_GROUP = re.compile(rf"(?:[ \t]{{0,3}}[,，、;]?[ \t]{{0,3}}{_MARKER})+")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_WORD = re.compile(r"\w")
_JOINT = re.compile(r"[\s,;，；、]*")
_TALK_EN = ("answer", "question", "passag", "accord", "document", "text", "context", "mention", "state", "provid")
_TALK_ZH = ("答案", "问题", "段落", "根据", "文中", "资料", "提到")
_TALK = frozenset((*_TALK_EN, *_TALK_ZH))
"""What an answer says about itself, as `words` gives it."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Markers that stand together, and the passages they name."""

    span: Span
    named: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A stretch of the answer, its text without markers, and the passages that the model named for it."""

    span: Span
    text: str
    named: tuple[int, ...]


def cite(answer: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """The citations of `answer`, in its order. `passages` are the ones the model was shown, best first."""
    evidence = _Evidence(passages)
    found: list[Citation] = []
    for claim in _claims(answer, len(passages)):
        wanted = set(words(claim.text))
        for n in claim.named:
            spans = evidence.support(wanted, n - 1).spans or evidence.everything(n - 1)
            found.append(Citation(n, passages[n - 1].id, spans, claim.span, "model"))
        asks = claim.text.rstrip().endswith(("?", "？"))
        if not claim.named and not asks and (best := evidence.best(wanted)):
            found.append(Citation(best.passage + 1, passages[best.passage].id, best.spans, claim.span, "alignment"))
    return tuple(found)


def without_markers(text: str) -> str:
    """`text` without its [n]."""
    return _GROUP.sub("", text)


def _claims(answer: str, count: int) -> Iterator[_Claim]:
    """The sentences of the answer; one with several groups of markers is cut behind each."""
    groups = _groups(answer, count)
    plain = _blank(answer, [group.span for group in groups])
    spans = sentences(plain)
    owned = _owners(plain, spans, groups)
    for index, (start, end) in enumerate(spans):
        mine = owned[index]
        if mine:
            start, end = min(start, mine[0].span[0]), max(end, mine[-1].span[1])
        named: list[int] = []
        for group in mine[:-1]:
            named += group.named
            cut = group.span[1]
            if _WORD.search(plain, start, cut):
                yield _Claim((start, cut), plain[start:cut], _once(named))
                named, start = [], _JOINT.match(answer, cut, end).end()  # type: ignore[union-attr]
        named += mine[-1].named if mine else ()
        yield _Claim((start, end), plain[start:end], _once(named))


def _groups(answer: str, count: int) -> list[_Group]:
    """The markers outside of code that name a passage."""
    code = [match.span() for match in _CODE.finditer(answer)]
    begins = [start for start, _ in code]
    found: list[_Group] = []
    for match in _GROUP.finditer(answer):
        before = bisect_right(begins, match.end()) - 1
        in_code = before >= 0 and match.start() < code[before][1]
        named = _once([n for n in map(int, re.findall(r"\d+", match.group())) if 1 <= n <= count])
        if named and not in_code:
            found.append(_Group(match.span(), named))
    return found


def _owners(plain: str, spans: Sequence[Span], groups: Sequence[_Group]) -> defaultdict[int, list[_Group]]:
    """Each group belongs to the sentence around or before it, but one that opens a line to the sentence after it."""
    starts = [start for start, _ in spans]
    owned: defaultdict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        start, end = group.span
        before = bisect_right(starts, start) - 1
        after = before + 1
        opens = before < 0 or plain.find("\n", spans[before][1], start) >= 0
        followed = after < len(spans) and plain.find("\n", end, spans[after][0]) < 0
        owner = after if before < 0 or (opens and followed) else before
        if owner < len(spans):
            owned[owner].append(group)
    return owned


def _blank(text: str, spans: Sequence[Span]) -> str:
    """`text` with spaces in `spans`, everything else in its place."""
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], " " * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def _once(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(numbers))


@dataclass(frozen=True, slots=True)
class _Support:
    """How much of a claim a passage holds, where, and which words."""

    passage: int
    score: float
    spans: tuple[Span, ...]
    found: frozenset[str]


class _Evidence:
    """The passages' sentences as sets of words. `_titles`, `_words` and `_spans` are by passage."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._lengths = [len(p.text) for p in passages]
        self._titles = [frozenset(words(p.title)) for p in passages]
        self._spans = [sentences(p.text) for p in passages]
        self._words = [
            [frozenset(words(p.text[a:b])) for a, b in spans] for p, spans in zip(passages, self._spans, strict=True)
        ]
        self._all = [title.union(*own) for title, own in zip(self._titles, self._words, strict=True)]
        places = [w | title for title, own in zip(self._titles, self._words, strict=True) for w in own]
        self._count = len(places)
        self._places = Counter(word for place in places for word in place)

    def everything(self, passage: int) -> tuple[Span, ...]:
        return ((0, self._lengths[passage]),) if self._lengths[passage] else ()

    def best(self, wanted: Collection[str]) -> _Support | None:
        """The passage that supports a claim best, if one does."""
        wanted = {word for word in wanted if word not in _TALK or word in self._places}
        enough = SUPPORT * self._weight(wanted)
        numbers = {word for word in wanted if any(map(str.isdigit, word))}
        best: _Support | None = None
        for passage, known in enumerate(self._all):
            shared = known.intersection(wanted)
            if not shared or not numbers <= shared or self._weight(shared) < enough:
                continue
            support = self.support(wanted, passage)
            fits = support.score >= SUPPORT and numbers <= support.found and self._says_enough(wanted, support.found)
            if fits and (best is None or support.score > best.score):
                best = support
        return best

    def support(self, wanted: Collection[str], passage: int) -> _Support:
        """The sentences of a passage that hold most of the claim, in their order."""
        total = self._weight(wanted) or 1.0
        found = self._titles[passage].intersection(wanted)
        left = self._all[passage].intersection(wanted) - found
        chosen: list[int] = []
        sets = self._words[passage]
        while left and len(chosen) < SPANS:
            place = max(range(len(sets)), key=lambda i: self._weight(sets[i] & left))
            if chosen and self._weight(sets[place] & left) < GAIN * total:
                break
            chosen.append(place)
            found |= sets[place] & left
            left -= sets[place]
        spans = tuple(self._spans[passage][place] for place in sorted(chosen))
        return _Support(passage, self._weight(found) / total if spans else 0.0, spans, found)

    def _says_enough(self, wanted: Collection[str], found: Collection[str]) -> bool:
        if len(found) > 1:
            return True
        return len(wanted) == 1 and all(self._places[w] == 1 and not (w.isdigit() and len(w) < 3) for w in found)

    def _weight(self, chosen: Collection[str]) -> float:
        return sum(math.log(1 + self._count / (1 + self._places[word])) for word in chosen)
