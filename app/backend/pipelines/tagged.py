"""A call of a model that writes tags around its thoughts, its queries and its answer, told while it writes.

Invariant: nothing is told before it is sure to be no part of a tag; a query is never told as a thought, and the pieces
of an answer join to the answer.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app.backend.events import Degraded, Event, Step, Thought, Token
from app.backend.protocols import Tools
from app.backend.types import Prompt, Sampling

_THINKING = ("<think>", "</think>", "<refine>", "</refine>")
_ENDS = ("<|im_end|>", "<|endoftext|>")
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX_TEXT = re.compile(r"\\text\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Tags:
    """What opens and closes a query, the documents given for it, and the answer (None: it stands in a LaTeX box)."""

    query: tuple[str, str]
    documents: tuple[str, str]
    answer: tuple[str, str] | None = ("<answer>", "</answer>")

    @property
    def marks(self) -> tuple[str, ...]:
        return (*self.query, *self.documents, *(self.answer or ()), *_THINKING)

    @property
    def stops(self) -> tuple[str, ...]:
        """What ends a call of the model; so do documents that it begins to make up."""
        return (self.query[1], *(self.answer or ())[1:], self.documents[0], *_ENDS)


class Reader:
    """Cuts what it is fed at `marks`. `mark` is the last of them (at first the given one), `words` the text since."""

    def __init__(self, marks: Sequence[str], mark: str = "") -> None:
        self.mark = mark
        self.words = ""
        self._held = ""
        beginnings = (mark[:end] for mark in marks for end in range(1, len(mark)))
        self._marks = re.compile("|".join(map(re.escape, marks)))
        self._unsure = re.compile(rf"\s*(?:{'|'.join(map(re.escape, beginnings))})?\Z")

    def feed(self, text: str) -> Iterator[tuple[str, str]]:
        """What is sure by now, without white space around a stretch: (mark it follows, piece of it)."""
        text = self._held + text
        while found := self._marks.search(text):
            yield from self._told(text[: found.start()].rstrip())
            self.mark, self.words, text = found[0], "", text[found.end() :]
        sure = self._unsure.sub("", text, count=1)
        self._held = text[len(sure) :]
        yield from self._told(sure)

    def end(self) -> Iterator[tuple[str, str]]:
        """The rest, when no more comes."""
        held, self._held = self._held.rstrip(), ""
        yield from self._told(held)

    def _told(self, text: str) -> Iterator[tuple[str, str]]:
        text = text if self.words else text.lstrip()
        self.words += text
        if text:
            yield self.mark, text


class Call:
    """`events` makes the call; the rest is what it came to."""

    def __init__(self, tags: Tags) -> None:
        self.answer = ""
        self._tags = tags
        self._reader = Reader(tags.marks)
        self._text = ""
        self._stopped_by = ""
        self._cut = False

    async def events(self, prompt: Prompt, sampling: Sampling, tools: Tools) -> AsyncGenerator[Event, None]:
        """Thoughts as they come, and the answer from where it begins."""
        shown = None
        async with aclosing(tools.engine.stream(prompt, sampling, request_id=tools.request_id)) as deltas:
            async for delta in deltas:
                self._text += delta.text
                self._stopped_by, self._cut = delta.stopped_by or "", delta.finish == "length"
                pieces = (*self._reader.feed(delta.text), *(self._reader.end() if delta.finish else ()))
                for mark, piece in pieces:
                    if self._tags.answer and mark == self._tags.answer[0]:
                        if not self.answer:
                            yield Step("generate")
                        self.answer += piece
                        yield Token(piece)
                    elif mark != self._tags.query[0]:
                        yield Thought(piece if shown in (None, mark) else f"\n{piece}")
                        shown = mark
        if self.answer and self._cut:
            yield Degraded("answer", f"The answer was cut at max_tokens ({sampling.max_tokens}).")
        if not self._tags.answer and (found := boxed(self._text)):
            yield Step("generate")
            yield Token(found)
            self.answer = found

    @property
    def said(self) -> str:
        """All of it, with the tag that ended it."""
        return (self._text + self._stopped_by).strip()

    @property
    def query(self) -> str:
        """What stands between the tags of a query; "" when the model closed none."""
        closed = self._stopped_by == self._tags.query[1] and self._reader.mark == self._tags.query[0]
        return self._reader.words if closed else ""

    @property
    def last_words(self) -> str:
        """What follows the last tag, if the model came to an end by itself."""
        ended = not self._cut and self._stopped_by in ("", *_ENDS) and self._reader.mark != self._tags.query[0]
        return self._reader.words if ended else ""


def boxed(text: str) -> str:
    r"""What stands in the last `\boxed{}` of a text; "" when there is none."""
    found = _BOXED.findall(text)
    return _LATEX_TEXT.sub(r"\1", found[-1]).strip() if found else ""
