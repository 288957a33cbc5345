"""Words and sentences of English, Chinese and mixed text.

Invariant: `words` and `sentences` are pure and may be called from any thread; `WORDS` changes whenever the result of
`words` does, so that an index knows by which rules its text was cut.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from app.backend.types import Span

if TYPE_CHECKING:
    import jieba

Language = Literal["en", "zh", "other"]
WORDS = "words-2"
"""Name of the rules `words` follows."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_CHAR = re.compile(f"[{_HAN}]")
_LATIN_CHAR = re.compile("[A-Za-zªºÀ-ÖØ-öø-ɏḀ-ỿＡ-Ｚａ-ｚ]")
_LETTER = rf"(?:(?![{_HAN}_])\w)"
_WORD = re.compile(
    rf"(?P<han>[{_HAN}]+)|(?P<initials>\b(?:[^\W\d_]\.){{2,}})|\d+(?:[.,]\d+)+|{_LETTER}+(?:'{_LETTER}+)*"
)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("’"): ord("'")}

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_NO_INK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""Fillers, the empty Braille cell, variation selectors."""

_STOPWORDS = """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
    was will with 的 了 是 在 和 与 及 也 都 而 着 吗 呢 吧 啊 之 被 把 有 个 请
    什么 什 么 哪 哪些 哪个 哪里 哪年 怎么 怎样 如何 为什么 多少 多 几 何 是否
"""
STOPWORDS = frozenset(_STOPWORDS.split())


def language(text: str) -> Language:
    """The main language, as far as letters tell: "en" is all that is written in Latin ones, "other" what is in neither.

    One Chinese character carries about as much as three letters of an English word.
    """
    if text.isascii():
        return "en"
    han = len(_HAN_CHAR.findall(text))
    letters = sum(map(str.isalpha, text)) - han
    if han * 3 > letters:
        return "zh"
    return "en" if 2 * len(_LATIN_CHAR.findall(text)) >= letters else "other"


def is_blank(text: str) -> bool:
    """Whether nothing of it can be seen: white space, control and format characters, letters and marks without ink.

    A character that this Python does not know yet may well be seen.
    """
    return all(unicodedata.category(char) in _UNSEEN or _NO_INK.match(char) for char in text)


def words(text: str) -> list[str]:
    """The words to search and compare by: lower case, without accents and stop words, English stemmed, Chinese cut."""
    stem = _stemmer()
    found: list[str] = []
    for match in _WORD.finditer(_fold(text)):
        word = match.group()
        if match["han"]:
            found += [piece for piece in _pieces(word) if piece not in STOPWORDS]
        elif match["initials"]:
            found.append(word.replace(".", ""))
        elif word not in STOPWORDS:
            found.append(word.replace(",", "") if word[0].isdigit() else stem(word))
    return found


def _pieces(run: str) -> Iterator[str]:
    """The words, then every character: a question and a passage may cut the same name differently."""
    yield from chinese().cut(run)
    yield from run


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFD", text.translate(_FULL_WIDTH).lower())
    return unicodedata.normalize("NFC", "".join(c for c in plain if unicodedata.category(c) != "Mn"))


def _stemmer() -> Callable[[str], str]:
    import Stemmer  # a stemmer must not be shared between threads, and making one costs microseconds

    stem: Callable[[str], str] = Stemmer.Stemmer("english", 0).stemWord
    return stem


@lru_cache(maxsize=1)
def chinese() -> jieba.Tokenizer:
    """Cuts Chinese into words, as `jieba.cut` does."""
    import jieba

    tokenizer = jieba.Tokenizer()
    # What initialize() does, without its cache file in the shared temporary folder.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


_CLOSERS = r"[\"'”’」』）)\]】》]*(?:\s?\[\d+\])*"
_END = re.compile(rf"[。！？]+{_CLOSERS}|…+{_CLOSERS}|[.!?]+{_CLOSERS}(?=\s|$)|；|\n+")
_OPENS_LOWER = re.compile(r"\s*[a-z,;:)]")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“])(?:[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Sr|Jr|Gen|Col|Capt|Lt|Rev|Hon|vs|etc|cf|ca"
    r"|approx|no|No|vol|Vol|pp?|Fig|fig|Eq|eq|Sec|sec|al|Inc|Ltd|Co|Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)$"
)
_LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d+$")


def sentences(text: str) -> list[Span]:
    """The spans of the sentences, in order, without the white space around them. A line break ends a sentence."""
    found: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        if not _is_inside(text, start, match):
            _add(found, text, start, match.end())
            start = match.end()
    _add(found, text, start, len(text))
    return found


def _is_inside(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a dot belongs to an abbreviation, an initial or a list number, or the text goes on in lower case."""
    if match.group().startswith(("\n", "。", "！", "？", "；")):
        return False
    if _OPENS_LOWER.match(text, match.end()) and not _breaks_line(text, match.end()):
        return True
    before = text[max(start, match.start() - 20) : match.start()]  # only its end matters, and the text may be long
    return match.group() == "." and bool(_ABBREVIATION.search(before) or _LIST_NUMBER.search(before))


def _breaks_line(text: str, at: int) -> bool:
    return text[at : at + 1] == "\n"


def _add(found: list[Span], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    if inner := piece.strip():
        begin = start + piece.index(inner[0])
        found.append((begin, begin + len(inner)))
