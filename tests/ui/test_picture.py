"""The picture of a link: always the same size, whatever the words, and cut where there is no room."""

from __future__ import annotations

import struct

import pytest

from app.ui import picture as drawing
from app.ui.picture import picture, wrapped


@pytest.mark.parametrize(
    "words",
    [
        "",
        "A title",
        "长城有多长？",
        "x" * 5000,
        "<script>alert(1)</script>",
        "\u202eabc\x00\ud800",
        "😀" * 50,
        "a\nb " * 900,
    ],
)
def test_any_words_make_a_picture_of_the_size_that_is_asked_for(words: str) -> None:
    png = picture("Shared", words, words, words)
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (1200, 630)


def test_what_does_not_fit_is_cut_with_a_mark() -> None:
    assert wrapped("one two three four", len, 9, 2) == ["one two", "three…"]
    assert wrapped("one two", len, 9, 2) == ["one two"]
    assert wrapped("长城有多长", len, 2, 3) == ["长城", "有多", "长"]
    assert all(0 < len(line) <= 30 for line in wrapped("x" * 100, len, 30, 3))


def test_letters_without_a_font_are_left_out_not_drawn_as_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_HAN", ())
    drawing._face.cache_clear()
    try:
        assert picture("分享", "长城有多长 wall", "很长。", "") == picture("", "wall", "", "")
        assert picture("", "wall", "", "") != picture("", "", "", "")
    finally:
        drawing._face.cache_clear()
