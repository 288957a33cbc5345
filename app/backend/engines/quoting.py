"""What the scripted engine says: the sentence of the prompt's passages that shares most words with the question, cited.

Invariant: pure; the same prompt always gets the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.backend.text import language, sentences, words
from app.backend.types import Message

_PIECE = re.compile(r"\s*(?:[\u3400-\u9fff\uf900-\ufaff]|[^\s\u3400-\u9fff\uf900-\ufaff]+)|\s+")
_HEADING = re.compile(
    r"^[ \t]*(?:\[(\d+)\]|(?:Doc|Passage|Document|文档|段落)\s*(\d+))[ \t]*[:：.]?[ \t]*",
    re.MULTILINE,
)
_TITLE = re.compile(r"\((?:[^()\n]|\([^()\n]*\))*\)[:：]?\s*|[^\n]*\n(?=.)")
_ASKED = re.compile(r"(?:Question|问题)[ \t]*[:：][ \t]*(.+)", re.IGNORECASE)
_ALONE = re.compile(r"(?:\A|\n\n)[^\n]+\n([^\n](?:.(?!\n\n))*.)\n\nQuestion: ", re.DOTALL)
_REWRITE = re.compile(r"stand-?alone|rewrit|改写|独立", re.IGNORECASE)


def pieces(text: str) -> list[str]:
    """The "tokens" of a text, which join to it: words with the space before them, Chinese characters one by one."""
    return _PIECE.findall(text)


def compose(messages: Sequence[Message]) -> str:
    """The answer to a chat prompt."""
    asked = _question(messages)
    passages = _passages("\n\n".join(message.content for message in messages))
    if passages:
        return _quote(asked, passages)
    if any(_REWRITE.search(message.content) for message in messages if message.role == "system"):
        return asked
    if language(asked) == "zh":
        return f"这是不用模型的演示回答。您问的是：{asked}"
    return f"This is a demonstration without a model, so it can only repeat what you asked: {asked}"


def _question(messages: Sequence[Message]) -> str:
    last = next((m.content for m in reversed(messages) if m.role == "user"), "")
    marked = _ASKED.findall(last)
    lines = [line.strip() for line in last.splitlines() if line.strip()]
    return str(marked[-1]).strip() if marked else lines[-1] if lines else ""


def _passages(prompt: str) -> dict[int, str]:
    """The numbered passages without their titles; one ends at the next heading or at an empty line."""
    found: dict[int, str] = {}
    headings = list(_HEADING.finditer(prompt))
    ends = [heading.start() for heading in headings[1:]] + [len(prompt)]
    for heading, end in zip(headings, ends, strict=False):
        body = prompt[heading.end() : end]
        text = body.split("\n\n")[0].strip()
        title = _TITLE.match(text)
        found[int(heading[1] or heading[2])] = text[title.end() :] if title else text
    if not found and (alone := _ALONE.search(prompt)):  # a single passage goes without a number
        found[1] = alone[1]
    return found


def _quote(asked: str, passages: dict[int, str]) -> str:
    wanted = set(words(asked))
    best, second = (0.0, 0, ""), (0.0, 0, "")
    for n, text in passages.items():
        for begin, end in sentences(text):
            found = set(words(text[begin:end]))
            rank = (len(found & wanted) / (len(found) + 8) ** 0.5, -n, text[begin:end])
            if rank[0] > best[0]:
                best, second = rank, best
            elif rank[0] > second[0]:
                second = rank
    chosen = [rank for rank in (best, second) if rank[0] > 0]
    if not chosen:
        return "这些段落里没有答案。" if language(asked) == "zh" else "The passages do not answer this."
    gap = "" if language(asked) == "zh" else " "
    return gap.join(f"{sentence} [{-n}]" if gap else f"{sentence}[{-n}]" for _, n, sentence in chosen)
