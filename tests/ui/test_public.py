"""What is said of a share before it is opened, and above it."""

from __future__ import annotations

from app.backend.snapshots import SharedTurn, Snapshot
from app.ui.public import HEADLINE_CHARS, headline

QUESTION = "How tall is the Eiffel Tower, and how much of that is the antenna that was put on it later on?"


def test_the_headline_of_a_comparison_is_its_whole_question() -> None:
    turns = (SharedTurn(QUESTION, ()),)
    assert headline(Snapshot("comparison", QUESTION[:60] + "…", turns)) == QUESTION
    assert headline(Snapshot("chat", "Towers", turns)) == "Towers"
    assert headline(Snapshot("chat", "", turns)) == QUESTION


def test_a_question_that_is_too_long_for_a_headline_is_cut_as_its_title() -> None:
    long = "Why? " * HEADLINE_CHARS
    assert headline(Snapshot("comparison", "Why? Why?…", (SharedTurn(long, ()),))) == "Why? Why?…"
