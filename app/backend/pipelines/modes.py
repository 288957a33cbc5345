"""Methods that were made for their authors' checkpoints: natively with theirs, by prompting with any other model.

Invariant: the mode follows from the model's name alone, and the log of every answer says it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from app.backend.events import Step
from app.backend.pipelines.prompts import inert

_SIGN = re.compile(r"[^a-z0-9]")


def native(model: str, *checkpoints: str) -> bool:
    """Whether `model` is one of the checkpoints, however its name is spelt: `rq_rag_7B` is an `RQ-RAG`."""
    return any(_SIGN.sub("", name.lower()) in _SIGN.sub("", model.lower()) for name in checkpoints)


def mode(is_native: bool, instead: Literal["prompted", "encoder"] = "prompted") -> Step:
    """For the log: what a method does here, and what does `instead` of its authors' checkpoint where that is not it."""
    return Step("mode", "native" if is_native else instead)


def defused(text: str, marks: Sequence[str]) -> str:
    """`text` as plain text for a model to which `marks` mean something; those of chat templates are broken up too."""
    for mark in marks:
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return inert(text)
