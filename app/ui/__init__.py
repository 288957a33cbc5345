"""The page in the browser: Gradio for layout and controls, an event stream of our own for the answers.

Invariant: nothing here knows more of the backend than its public surface, and importing this module imports no Gradio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from app.backend.service import Backend
    from app.identity import Identity
    from app.settings import Settings


def mount(app: FastAPI, backend: Backend, settings: Settings, identity: Identity) -> None:
    """Put the interface onto `app`. Imports Gradio, which takes seconds: call it in a thread."""
    from app.ui.site import build

    build(app, backend, settings, identity)
