"""The Gradio theme: system fonts only, and nothing else, because the page's own style sheet draws everything."""

from __future__ import annotations

from gradio.themes import Base


def theme() -> Base:
    return Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
