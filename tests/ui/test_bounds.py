"""Hostile Markdown costs time and room in proportion to its length; honest maths and tables look as they should."""

from __future__ import annotations

import pytest

from app.ui import bounds, markup


def draw(text: str) -> str:
    return str(markup.draft(text, (), "en"))


def wide(columns: int, rows: int) -> str:
    return "|" + "a|" * columns + "\n|" + "-|" * columns + "\n" + "|b\n" * rows


def test_a_table_that_would_blow_up_is_shown_as_its_source() -> None:
    text = wide(2_000, 400)
    html = draw(f"{text}\nAfter.")
    assert "<td>" not in html
    assert html.count("|b\n") == 400
    assert "<p>After.</p>" in html
    assert len(html) < 2 * len(text)


def test_many_tables_together_have_no_more_cells_than_one() -> None:
    html = draw((wide(50, 49) + "\n") * 20)
    assert html.count("<td>") + html.count("<th>") == bounds.MAX_CELLS
    assert html.count("|b\n") == 49 * 18


def test_an_honest_table_is_a_table_to_its_last_row() -> None:
    html = draw("| a | b |\n|---|:-:|\n" + "| c | d |\n" * 1_000 + "\nAfter.")
    assert html.count("<tr>") == 1_001
    assert "<pre>" not in html


@pytest.mark.parametrize(
    ("text", "maths"),
    [
        ("so \\(a_1 < b_2\\) holds", '<span class="math">a_1 &lt; b_2</span> holds'),
        ("so \\[a*b*c\\] holds", '<span class="math">a*b*c</span> holds'),
        ("so $a*b*c$ holds", '<span class="math">a*b*c</span> holds'),
        ("\\[\na\n\n+ b\n\\]\n\nAfter.", '<div class="math">a\n\n+ b</div><p>After.</p>'),
        ("\\[ a \\]\nAfter.", '<div class="math">a</div><p>After.</p>'),
        ("$$\na\n+ b\n$$\nAfter.", '<div class="math">a\n+ b</div><p>After.</p>'),
        ("$$a$$", '<div class="math">a</div>'),
        ("- \\[\n  a\n  \\]\n- b", '<div class="math">a</div>'),
        ("> $$\n> a\n> $$", '<div class="math">a</div>'),
    ],
)
def test_maths_is_shown_as_it_is_written(text: str, maths: str) -> None:
    assert maths in draw(text)


@pytest.mark.parametrize("text", ["\\(a **b**", "\\[a **b**", "\\[\n**b**", "$$\n**b**", "- \\[ **b**\n- \\]"])
def test_maths_that_is_never_closed_is_text(text: str) -> None:
    html = draw(text)
    assert "<strong>b</strong>" in html
    assert "math" not in html
