"""Which votes count in the ratings.

Invariant: a vote that does not count is kept all the same, with one sentence that says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.backend.records import LIVE, Comparison

_ORDINARY = re.compile(r"[A-Z]?[a-z]+|直接回答")
_COINED = re.compile(
    r"(?i:autorefine|corag|ircot|iterretgen|(?:long)?llmlingua|rearag|recomp|replug|rqrag|selfask|selfrag|"
    r"simpledeepsearcher|skr)"
)
"""Names that are words of no language: however they are written, a method is meant."""
_ALSO: Mapping[str, tuple[str, ...]] = {
    "naive": ("标准 RAG",),
    "direct": ("直接回答",),
    "crag": ("CRAG",),
    "hyde": ("HYDE",),
    "recomp-extractive": ("RECOMP",),
    "recomp-abstractive": ("RECOMP",),
}
"""What methods are called beside their names and titles; 直接回答 is also what an answer says that it cannot do."""
_BESIDE = r"(?:[- ](?:pipeline|method|mode|rag)\b|\s*(?:流程|管线|方法|模式))"
_QUOTED = ("`{}`", '"{}"', "'{}'", "“{}”", "「{}」")


def why_not(comparison: Comparison, titles: Mapping[str, str], contenders: tuple[str, ...]) -> str:
    """Why a vote on it does not count, "" when it does. `titles` are those of the pipelines, by name."""
    if comparison.copied:
        return "These answers were copied from a link, and a vote on them does not count."
    for column in comparison.columns:
        status, letter = column.generation.status, column.letter.upper()
        if status in LIVE:
            return f"Answer {letter} was not finished when you voted."
        if status != "done":
            return f"Answer {letter} is not complete: it failed or was stopped."
    if len(set(contenders)) < 2:
        return "All columns were made in the same way."
    if comparison.blind:
        for column in comparison.columns:
            name = column.generation.pipeline
            if tells(column.generation.answer, name, titles.get(name, name)) and not tells(
                comparison.question, name, titles.get(name, name)
            ):
                return f"Answer {column.letter.upper()} gave itself away: it names its method."
    return ""


def tells(text: str, name: str, title: str) -> bool:
    """Whether a text names a method. One that is called by an ordinary word must be spoken of as a method."""
    return any(re.search(_pattern(word), text) for word in (name, title, *_ALSO.get(name, ())))


def _pattern(word: str) -> str:
    spelled = re.escape(word).replace(r"\ ", r"\s*")
    whole = rf"(?<![A-Za-z0-9_]){spelled}(?![A-Za-z0-9_])"  # Chinese puts no space between words
    if _COINED.fullmatch(word) or not word.isalpha():
        return f"(?i:{whole})"
    if _ORDINARY.fullmatch(word):
        return rf"(?i:{whole}{_BESIDE}|{'|'.join(quotes.format(spelled) for quotes in _QUOTED)})"
    return whole
