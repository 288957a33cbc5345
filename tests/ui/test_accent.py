"""A demo's colour can be read, whatever was chosen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.ui import accent


@given(st.integers(0, 0xFFFFFF))
def test_text_in_any_colour_can_be_read_on_both_papers(number: int) -> None:
    for paper in (accent.LIGHT, accent.DARK):
        assert accent.contrast(accent.readable(f"#{number:06x}", paper), paper) >= accent.CONTRAST


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert "--accent:#0b6e63" in accent.style("#0b6e63")
