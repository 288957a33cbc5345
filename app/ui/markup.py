"""The only place where text from models, documents and users becomes HTML.

Invariant: whatever the text is, the result holds no script, no event handler and nothing that the browser would fetch.
Markdown is rendered first and sanitised last; citation buttons, which are ours, replace sentinel characters after that.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from app.backend.types import Citation, Passage, Span
from app.ui import bounds, i18n

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token


def _words(text: str) -> set[str]:
    return set(text.split())


# Private-use characters stand for citations until the HTML is safe; the same characters in the text are replaced first.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SPACE = "\u205f"  # white space to Markdown, so that a sentinel never keeps ** or _ from closing
_MODEL, _ALIGNED, _LIMIT = 0xE100, 0xE800, 0x700
_SENTINEL = re.compile(rf" ?{_SPACE}?[{_OPEN}{_CLOSE}{chr(_MODEL)}-{chr(_ALIGNED + _LIMIT)}]{_SPACE}?")
_BIDI = [0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069]
_CLEAN = (
    {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n"}
    | dict.fromkeys(range(0xE000, 0xF900), "\ufffd")
    | dict.fromkeys(_BIDI, "\u2060")
    | {ord("\r"): "\n", 0x205F: " "}
)
_MARKER = re.compile(r"\[(\d{1,3}(?:[ ]?[,，、;][ ]?\d{1,3})*)\]")
_WIDE_MARKER = re.compile(r"【(\d{1,3}(?:[ ]?[,，、;][ ]?\d{1,3})*)】")
_SUPPORTED = '<span class="supported">{}</span>'
_WORD = r"([^\s<>&;\u2e80-\uffff]{1,24}|[\u2e80-\uffff]{1,2})"
_BUTTONS = r"((?:<button [^>]*>\d+</button>)+)"
_LAST_SUPPORTED = re.compile(rf'(<span class="supported">[^<>]*?){_WORD}</span>{_BUTTONS}')
_LAST_WORD = re.compile(_WORD + _BUTTONS)
_TAG = re.compile(r"""(</?[a-z][a-z0-9]*(?:\s+[a-z-]+="[^"]*")*\s*/?>)""")
_LANGUAGES = _words(
    "bash c console cpp cs css diff go html http ini java javascript js json kotlin lua markdown php powershell py"
    " python r rb ruby rust scala sh sql swift toml ts typescript xml yaml yml"
)
_HIGHLIGHT_LIMIT = 10_000
_TAGS = _words(
    "p br hr h1 h2 h3 h4 h5 h6 strong em s code pre blockquote ul ol li table thead tbody tr th td a span div"
)
_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}, "code": {"class"}, "span": {"class"}, "div": {"class"}}


def clean(text: str) -> str:
    """`text` without control and sentinel characters, each replaced one for one: offsets into it stay right."""
    return text.replace("\r\n", " \n").translate(_CLEAN)


def answer(text: str, passages: Sequence[Passage], citations: Sequence[Citation], lang: i18n.Lang) -> Markup:
    """An answer as HTML: Markdown, with a button for each citation."""
    return _answer(text, tuple(passages), tuple(citations), lang)


def draft(text: str, passages: Sequence[Passage], lang: i18n.Lang) -> Markup:
    """A piece of an answer that is still being written; the model's own [n] are buttons already."""
    return _answer.__wrapped__(text, tuple(passages), (), lang)


@lru_cache(maxsize=1024)
def _answer(text: str, passages: tuple[Passage, ...], citations: tuple[Citation, ...], lang: i18n.Lang) -> Markup:
    text = _WIDE_MARKER.sub(r"[\1]", clean(text))
    aligned = [(c.sentence, chr(_ALIGNED + i)) for i, c in enumerate(citations[:_LIMIT]) if c.by == "alignment"]
    html = _MARKDOWN.render(text, {"aligned": aligned, "passages": len(passages)})
    return Markup(_cite(sanitise(html), passages, citations, lang))


def sanitise(html: str) -> str:
    """Cut `html` down to the harmless tags and attributes."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        strip_comments=True,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """No address but a whole one: a relative one would lead into this site."""
    return None if name == "href" and not value.startswith(("https://", "http://", "mailto:")) else value


def passage(text: str, spans: Sequence[tuple[int, Span]]) -> Markup:
    """A passage as text. `spans` pairs the index of a citation with a place it rests on, which is marked."""
    text = clean(text)
    edges = sorted({0, len(text), *(min(max(edge, 0), len(text)) for _, span in spans for edge in span)})
    parts: list[str] = []
    for start, end in pairwise(edges):
        of = sorted({index for index, (a, b) in spans if a <= start and end <= b})
        piece = escape(text[start:end])
        parts.append(f'<mark data-c="{" ".join(map(str, of))}">{piece}</mark>' if of else piece)
    return Markup("".join(parts))


def snippet(text: str) -> Markup:
    r"""A search hit, marked between \x02 and \x03."""
    safe = escape(text.replace("\x02", "\ue000").replace("\x03", "\ue001").translate(_CLEAN | {0xE000: 2, 0xE001: 3}))
    return Markup(safe.replace("\x02", "<mark>").replace("\x03", "</mark>"))


def _cite(html: str, passages: Sequence[Passage], citations: Sequence[Citation], lang: i18n.Lang) -> str:
    """Replace the sentinels of sanitised `html`; whatever hid in an attribute is removed there and put at the end."""
    by_model: dict[int, deque[int]] = {}
    for index, citation in enumerate(citations):
        if citation.by == "model":
            by_model.setdefault(citation.n, deque()).append(index)
    drawn: set[int] = set()

    def button(n: int, index: int | None) -> str:
        aligned = index is not None and citations[index].by == "alignment"
        title = passages[n - 1].title if n <= len(passages) else ""
        label = i18n.text(lang, "cite.aligned" if aligned else "cite.model", n=n, title=clean(title))
        kind = "cite aligned" if aligned else "cite"
        at = "" if index is None else f' data-c="{index}"'
        return (
            f'<button type="button" class="{kind}" data-testid="citation" data-n="{n}"{at}'
            f' aria-label="{escape(label)}" title="{escape(label)}">{n}</button>'
        )

    def put(char: str) -> str:
        code = ord(char)
        if code >= _ALIGNED:
            index = code - _ALIGNED
            if index in drawn:
                return ""
            drawn.add(index)
            return button(citations[index].n, index)
        places = by_model.get(code - _MODEL)
        if not places:
            return button(code - _MODEL, None)
        return button(code - _MODEL, places.popleft() if len(places) > 1 else places[0])

    depth = 0
    out: list[str] = []

    def emit(plain: str) -> None:
        if plain:
            out.append(_SUPPORTED.format(plain) if depth and plain.strip() else plain)

    for part in _TAG.split(html):
        if _TAG.fullmatch(part):
            out.append(_SENTINEL.sub("", part))
            continue
        at = 0
        for match in _SENTINEL.finditer(part):
            char = match.group().strip(f" {_SPACE}")
            chip = ord(char) >= _MODEL
            emit(part[at : match.start()] + (" " if char == _OPEN and match.group()[0] == " " else ""))
            depth = max(0, depth + (char == _OPEN) - (char == _CLOSE))
            if chip:
                out.append(put(char))
            at = match.end()
        emit(part[at:].replace(_SPACE, ""))
    lost = [i for i, c in enumerate(citations[:_LIMIT]) if c.by == "alignment" and i not in drawn]
    out += [button(citations[i].n, i) for i in lost]
    return _glue("".join(out))


def _glue(html: str) -> str:
    """Keep buttons on the line of the word before them."""
    html = _LAST_SUPPORTED.sub(r'\1</span><span class="glue"><span class="supported">\2</span>\3</span>', html)
    return _LAST_WORD.sub(r'<span class="glue">\1\2</span>', html)


def _place_marks(state: StateCore) -> None:
    """Put sentence marks into the inline content they belong to: the blocks are known by now, and stay as they are."""
    aligned: list[tuple[Span, str]] = state.env.get("aligned", [])
    if not aligned:
        return
    pieces = _inline_pieces(state)
    inserts: dict[int, list[tuple[int, int, str]]] = {}
    for order, ((start, end), chip) in enumerate(aligned):
        first = next((p for p in pieces if start < p.end), None)
        last = next((p for p in reversed(pieces) if p.start < end), None)
        if last is None:
            continue
        at = min(end, last.end)
        if first and max(start, first.start) < at:
            opened = first.offset + max(start, first.start) - first.start
            inserts.setdefault(first.token, []).append((opened, order, _OPEN + _SPACE))
            chip = _CLOSE + chip
        inserts.setdefault(last.token, []).append((last.offset + at - last.start, order, _SPACE + chip))
    for token, found in inserts.items():
        content = state.tokens[token].content
        for offset, _, mark in sorted(found, reverse=True):
            content = content[:offset] + mark + content[offset:]
        state.tokens[token].content = content


class _Piece(NamedTuple):
    """A line of inline content: where it is in the source, and in which token at which offset."""

    start: int
    end: int
    token: int
    offset: int


def _inline_pieces(state: StateCore) -> list[_Piece]:
    starts = [0]
    for line in state.src.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    pieces: list[_Piece] = []
    cursor = 0
    for index, token in enumerate(state.tokens):
        if token.type != "inline" or token.map is None:
            continue
        cursor, offset = max(cursor, starts[token.map[0]]), 0
        for line in token.content.split("\n"):
            found = state.src.find(line, cursor, starts[token.map[1]]) if line else -1
            if found >= 0:
                cursor = found + len(line)
                pieces.append(_Piece(found, cursor, index, offset))
            offset += len(line) + 1
    return pieces


def _marker_rule(state: StateInline, silent: bool) -> bool:
    """[3] and [1, 2] of the model; a number without a passage is left out beside one that has one."""
    match = _MARKER.match(state.src, state.pos)
    if not match:
        return False
    numbers = [n for n in map(int, re.findall(r"\d+", match.group(1))) if 1 <= n <= state.env.get("passages", 0)]
    if not numbers:
        return False
    if not silent:
        state.push("text", "", 0).content = "".join(chr(_MODEL + n) for n in numbers)
    state.pos = match.end()
    return True


def _highlight(code: str, language: str, _attributes: str) -> str:
    if language.lower() not in _LANGUAGES or len(code) > _HIGHLIGHT_LIMIT:
        return ""
    return highlight(code, get_lexer_by_name(language.lower()), _FORMATTER)


def _alternative_text(self: RendererHTML, tokens: Sequence[Token], index: int, options: object, env: object) -> str:
    return f'<span class="no-image">{escape(tokens[index].content)}</span>'


def _math(self: RendererHTML, tokens: Sequence[Token], index: int, options: object, env: object) -> str:
    kind = "div" if tokens[index].block else "span"
    return f'<{kind} class="math">{escape(tokens[index].content.strip())}</{kind}>'


def _markdown() -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": _highlight})
    md.enable(["table", "strikethrough"])
    md.block.ruler.at("table", bounds.table, {"alt": ["paragraph", "reference"]})
    md.use(dollarmath_plugin, allow_space=False, allow_digits=False)
    md.block.ruler.at("math_block", bounds.block_maths)
    md.inline.ruler.before("escape", "math_brackets", bounds.inline_maths)
    for name in ("math_inline", "math_block"):
        md.add_render_rule(name, _math)
    md.core.ruler.after("block", "citations", _place_marks)
    md.inline.ruler.before("link", "citation", _marker_rule)
    md.add_render_rule("image", _alternative_text)
    return md


_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)
_MARKDOWN = _markdown()
