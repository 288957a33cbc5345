r"""Maths and tables for Markdown whose cost grows with the text and no faster, however hostile the text is.

Maths is shown as it is written: `\(...\)` and `\[...\]` within a line, `\[...\]` and `$$...$$` as blocks.
Invariant: no rule looks at a line again for another opening, and a text has at most `MAX_CELLS` cells of tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markdown_it.rules_block.table import table as whole_table

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

MAX_CELLS = 5_000
"""A row of one cell is filled up to the width of its table, so that a short text could make a page of megabytes."""
_MAX_INLINE = 2_000
_INLINE = {"\\(": "\\)", "\\[": "\\]"}
_BLOCK = {"\\[": "\\]", "$$": "$$"}


def inline_maths(state: StateInline, silent: bool) -> bool:
    """Maths within a paragraph, of at most `_MAX_INLINE` characters."""
    start = state.pos + 2
    closer = _INLINE.get(state.src[state.pos : start])
    end = state.src.find(closer, start + 1, min(state.posMax, start + _MAX_INLINE)) if closer else -1
    if end < 0:
        return False
    if not silent:
        state.push("math_inline", "math", 0).content = state.src[start:end]
    state.pos = end + 2
    return True


def block_maths(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Maths on lines of its own. The next line that opens maths ends the search for the closing."""
    first = _line(state, start)
    opener = first[:2]
    closer = _BLOCK.get(opener)
    if closer is None or state.is_code_block(start):
        return False
    body, line = first[2:].rstrip(), start
    parts: list[str] = []
    while closer not in body:
        parts.append(body)
        line += 1
        if line >= end or (state.sCount[line] < state.blkIndent and not state.isEmpty(line)):
            return False
        body = _line(state, line).rstrip()
        if body.startswith(opener) and body != closer:
            return False
    if body.find(closer) != len(body) - 2:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.block, token.map = True, [start, line + 1]
        token.content = "\n".join([*parts, body[:-2]])
    state.line = line + 1
    return True


def table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table as Markdown has it, as long as the text has cells left; then tables are shown as they are written."""
    if not whole_table(state, start, end, True):
        return False
    if silent:
        return True
    left = int(state.env.get("cells", MAX_CELLS))
    columns = _line(state, start + 1).strip().strip("|").count("|") + 1
    rows = left // columns
    limit = start + 1 + rows
    before = len(state.tokens)
    if rows:
        whole_table(state, start, min(end, limit), False)
        if state.line < limit or _ends(state, limit, end):
            state.env["cells"] = left - columns * (state.line - start - 1)
            return True
    state.env["cells"] = 0
    del state.tokens[before:]
    line = start
    while not _ends(state, line, end):
        line += 1
    token = state.push("code_block", "code", 0)
    token.content = state.getLines(start, line, state.blkIndent, True)
    token.map = [start, line]
    state.line = line
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _ends(state: StateBlock, line: int, end: int) -> bool:
    """Whether the text of a container or paragraph is over at `line`."""
    return line >= end or state.isEmpty(line) or state.sCount[line] < state.blkIndent
