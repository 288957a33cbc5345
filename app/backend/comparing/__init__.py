"""Comparing answers: what differs between them, what a blind comparison hides, and which votes count. Pure functions.

Invariant: nothing here reads or writes anything; equal input gives equal output.
"""

from __future__ import annotations

from app.backend.comparing.answers import AnswerRow, Cell, compare_answers
from app.backend.comparing.contenders import contender, contenders
from app.backend.comparing.params import ParamRow, compare_params
from app.backend.comparing.passages import PassageRow, compare_passages

__all__ = [
    "AnswerRow",
    "Cell",
    "ParamRow",
    "PassageRow",
    "compare_answers",
    "compare_params",
    "compare_passages",
    "contender",
    "contenders",
]
