"""Cuts a growing Markdown text where its blocks end, looking at every line once.

Invariant: what is given out as closed, joined with the open tail, is the text that was fed.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


class Blocks:
    """A blank line outside a code fence ends a block, and so does the end of a fence."""

    def __init__(self) -> None:
        self._line = ""
        self._held: list[str] = []
        self._fence = ""

    @property
    def kind(self) -> str:
        """What the open block is: "code" inside a fence, else "text"."""
        return "code" if self._fence else "text"

    @property
    def tail(self) -> str:
        """The open block."""
        return "".join(self._held) + self._line

    def feed(self, text: str) -> tuple[str, str]:
        """The text that is closed now, and what to add to the tail (all of the tail anew when something closed)."""
        *lines, rest = (self._line + text).split("\n")
        closed: list[str] = []
        for line in lines:
            self._held.append(line + "\n")
            if self._ends(line):
                closed += self._held
                self._held = []
        self._line = rest
        if closed:
            return "".join(closed), "".join(self._held) + rest
        return "", text

    def _ends(self, line: str) -> bool:
        fence = _FENCE.match(line)
        if self._fence:
            if fence and fence.group(1).startswith(self._fence) and not fence.group(2).strip():
                self._fence = ""
                return True
            return False
        if fence:
            self._fence = fence.group(1)
            return False
        return not line.strip()
