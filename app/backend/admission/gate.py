"""What all questions wait for before any may begin: the parts that are starting."""

from __future__ import annotations

import time
from dataclasses import dataclass

from app.backend.types import Health


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether answers may begin. `reason`, its `code` and `wait_s` say what a closed gate waits for."""

    open: bool
    reason: str = ""
    wait_s: float = 0.0
    code: str = ""


def gate(engine: Health, retriever: Health) -> Gate:
    """Closed while a part starts. A part that is down opens it too: its error comes at once."""
    for name, health in (("engine", engine), ("retriever", retriever)):
        if health.state == "starting":
            wait_s = max(1.0, (health.expected_s or 0.0) - (time.time() - health.since))
            return Gate(False, f"{name} starting", round(wait_s), f"{name}_starting")
    return Gate(True)
