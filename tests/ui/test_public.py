"""What is said of a share before it is opened, and above it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.backend.records import Generation
from app.backend.shares.service import Change
from app.backend.shares.snapshots import SharedTurn, Snapshot
from app.backend.types import Passage
from app.ui.public import HEADLINE_CHARS, PublicRenderer, headline

QUESTION = "How tall is the Eiffel Tower, and how much of that is the antenna that was put on it later on?"


def test_the_headline_of_a_comparison_is_its_whole_question() -> None:
    turns = (SharedTurn(QUESTION, ()),)
    assert headline(Snapshot("comparison", QUESTION[:60] + "…", turns)) == QUESTION
    assert headline(Snapshot("chat", "Towers", turns)) == "Towers"
    assert headline(Snapshot("chat", "", turns)) == QUESTION


def test_a_question_that_is_too_long_for_a_headline_is_cut_as_its_title() -> None:
    long = "Why? " * HEADLINE_CHARS
    assert headline(Snapshot("comparison", "Why? Why?…", (SharedTurn(long, ()),))) == "Why? Why?…"


A, B, C = (Passage(name, name.upper(), f"About {name}.", 1.0, "shelf") for name in "abc")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ((A, B), "The same passages were found."),
        ((B, A), "0 new, 0 no longer, 2 at another rank, 0 with another text."),
        ((A, replace(B, text="Otherwise.")), "0 new, 0 no longer, 0 at another rank, 1 with another text."),
        ((A, C), "1 new, 1 no longer, 0 at another rank, 0 with another text."),
    ],
)
def test_what_was_found_is_the_same_only_when_it_reads_the_same_in_the_same_order(
    now: tuple[Passage, ...], told: str
) -> None:
    then = Generation("1", "", "naive", "shelf", {}, "m", "done", 0.0, answer="It is.", passages=(A, B))
    page = PublicRenderer(()).change(Change(then, replace(then, passages=now), ()), "en")
    assert told in page
    assert ("The same passages were found." in page) is (now == (A, B))


def test_a_sentence_that_only_moved_is_not_shown_as_gone() -> None:
    then = Generation("1", "", "naive", "shelf", {}, "m", "done", 0.0, answer="It rains. They sing.")
    page = PublicRenderer(()).change(Change(then, replace(then, answer="They sing. It rains."), ()), "en")
    assert page.count("at another place") == 2
    assert 'aria-label="nothing"' not in page
