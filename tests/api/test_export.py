"""An exported conversation says what was asked, what was answered, and on what it rests."""

import json
import re

import pytest
from markdown_it import MarkdownIt

from app.api import export
from app.backend.records import Conversation, Generation, Turn
from app.backend.types import Citation, Passage

P1 = Passage("a1", "Rain\nand snow", "It rains\n# often.", 0.9, "demo")
P2 = Passage("a2", "", "It snows.", 0.8, "demo")


def generation(number: int, **fields: object) -> Generation:
    known = {"id": f"g{number}", "turn_id": f"t{number}", "pipeline": "naive", "corpus": "demo", "params": {}}
    return Generation(**{**known, "model": "m", "status": "done", "created_at": 0.0, **fields})  # type: ignore[arg-type]


def turn(number: int, question: str, answer: Generation, parent: str | None = None) -> Turn:
    return Turn(f"t{number}", "c", parent, question, 0.0, (answer,), answer.id)


CITED = generation(
    1, answer="Often [1].", passages=(P1, P2), citations=(Citation(1, "a1", ((0, 8),), (0, 10), "model"),)
)
CONVERSATION = Conversation(
    "c",
    "On\nweather",
    False,
    0.0,
    0.0,
    (
        turn(1, "Does it rain?", CITED),
        turn(2, "Another branch?", generation(2, answer="Hidden.")),
        turn(3, "And\nthen?", generation(3, status="stopped", answer="Half"), "t1"),
        turn(4, "Why?", generation(4, status="failed", error_message="The engine is down."), "t3"),
    ),
    "t4",
)


def test_markdown_holds_the_branch_that_is_shown_in_order_with_endings_and_sources() -> None:
    assert export.markdown(CONVERSATION) == (
        "# On weather\n\n*1970-01-01 00:00 UTC*\n\n"
        "## Does it rain?\n\nOften [1].\n\n*m · pipeline naive · corpus demo*\n\n### Sources\n\n"
        "1. **Rain and snow** (demo, a1): It rains # often.\n"
        "2. **a2** (demo, a2, not cited): It snows.\n\n"
        "## And then?\n\n> And\n> then?\n\nHalf\n\n"
        "*Stopped; this is what had been written.*\n\n*m · pipeline naive*\n\n"
        "## Why?\n\n*Failed: The engine is down.*\n\n*m · pipeline naive*\n"
    )


HOSTILE = (
    "<img src=https://evil.example/p.png>",
    "\\<img src=https://evil.example/p.png>",
    "a\n\n<script>alert(1)</script>\n",
    "![p](https://evil.example/p.png)",
    "\\![p](https://evil.example/p.png)",
    "\\\\![p](https://evil.example/p.png)",
    "![p][q]\n\n[q]: https://evil.example/p.png",
    "!\\[p](x) <!-- ",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_viewer_of_the_markdown_finds_no_html_and_no_images(text: str) -> None:
    passage = Passage(text, text, text, 0.9, "demo")
    asked = turn(1, text, generation(1, answer=text, passages=(passage,)))
    html = MarkdownIt("commonmark", {"html": True}).render(
        export.markdown(Conversation("c", text, False, 0.0, 0.0, (asked,), "t1"))
    )
    assert not re.search(r"<(img|script|!--)", html)


def test_no_text_of_a_stranger_turns_the_direction_of_the_file() -> None:
    text = "gnp.\u202eexe \u2067"
    asked = turn(1, text, generation(1, answer=text, passages=(Passage(text, text, text, 0.9, "demo"),)))
    told = export.markdown(Conversation("c", text, False, 0.0, 0.0, (asked,), "t1"))
    assert not {"\u202e", "\u2067"} & set(told) and "gnp.exe" in told


def test_an_answer_keeps_its_markdown() -> None:
    text = "**So** [1], see [here](https://example.org): `a < b`\n\n| a |\n|---|\n| 1 < 2 |"
    asked = turn(1, "Why?", generation(1, answer=text))
    assert text in export.markdown(Conversation("c", "t", False, 0.0, 0.0, (asked,), "t1"))


def test_json_holds_every_branch() -> None:
    tree = json.loads(export.json(CONVERSATION))
    assert [turn["question"] for turn in tree["turns"]] == ["Does it rain?", "Another branch?", "And\nthen?", "Why?"]
    assert tree["turns"][0]["generations"][0]["passages"][0] == {
        "n": 1, "id": "a1", "title": "Rain\nand snow", "text": "It rains\n# often.", "score": 0.9, "corpus": "demo",
    }  # fmt: skip


def test_a_file_name_has_no_path_in_it() -> None:
    assert export.file_stem("../../etc/passwd\x00\r\n") == "etc-passwd"
    assert export.file_stem("检索 增强?") == "检索-增强"
    assert export.file_stem("///") == "conversation"
    assert len(export.file_stem("x" * 500)) == 60
