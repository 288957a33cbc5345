"""The chat page: where things are, and which part of the page asks the server.

Invariant: the page holds no state in Gradio; all it shows comes from an action, and every action checks the owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import gradio as gr

from app.backend.service import Backend
from app.backend.types import Family, PipelineInfo
from app.identity import Identity
from app.settings import Settings
from app.ui.actions import Actions, Reply
from app.ui.render import Renderer

SHORTCUTS = (
    ("keys.send", ("Enter",)),
    ("keys.newline", ("Shift", "Enter")),
    ("keys.search", ("mod", "K")),
    ("keys.list", ("↑", "↓", "→")),
    ("keys.new", ("mod", "Shift", "O")),
    ("keys.edit", ("↑",)),
    ("keys.stop", ("Esc",)),
    ("keys.branches", ("[", "]")),
    ("keys.help", ("mod", "/")),
)


def page(renderer: Renderer, actions: Actions, identity: Identity, backend: Backend, settings: Settings) -> gr.Blocks:
    """The page as Gradio blocks. The server function `act` is the only way from the browser to the backend."""

    async def act(data: object, request: gr.Request) -> Reply:
        return await actions(identity.owner_of(request), data, request.client.host if request.client else "")

    def part(name: str, **values: object) -> gr.HTML:
        html = renderer.page(name, "en", **values)
        return gr.HTML(html, apply_default_css=False, js_on_load=None, elem_id=f"part-{name}")

    with gr.Blocks(title="Colloquy", analytics_enabled=False, fill_width=True) as blocks:
        with gr.Row(elem_id="app"):
            with gr.Column(elem_id="side"):
                part("sidebar", place="chat")
            with gr.Column(elem_id="main"):
                part("topbar")
                part("thread")
                part(
                    "composer",
                    families=by_family(backend.pipelines()),
                    default_pipeline=settings.server.default_pipeline,
                    engines=backend.engines(),
                    speaks=settings.engine.languages,
                )
            with gr.Column(elem_id="evidence"):
                part("evidence")
        gr.HTML(
            renderer.page("overlays", "en", shortcuts=SHORTCUTS),
            apply_default_css=False,
            elem_id="part-overlays",
            js_on_load="window.colloquy.start()",
            server_functions=[act],
        )
    return blocks


def by_family(pipelines: Iterable[PipelineInfo]) -> list[tuple[Family, list[PipelineInfo]]]:
    """The pipelines as the picker lists them: in the order of the families, each in its own order."""
    found: dict[Family, list[PipelineInfo]] = {family: [] for family in get_args(Family)}
    for info in pipelines:
        found[info.family].append(info)
    return [(family, members) for family, members in found.items() if members]
