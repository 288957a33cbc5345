"""Where the page's calls arrive: Gradio's address for server functions, answered by us.

Gradio's own answer keeps a session in memory for every name that a caller makes up, and has a traceback for a component
that is not there. Invariant: a call is a function's name and its data. Who calls is said by the request, never by the
`session_hash` that Gradio's script sends along, which nobody looks at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.errors import HttpError

PATH = "/gradio_api/component_server/"
ServerFunction = Callable[[object, gr.Request], Awaitable[object]]


class Call(BaseModel):
    """What Gradio's script sends; the rest of it means nothing here."""

    fn_name: str = Field(max_length=100)
    data: object = None


def answer_calls(app: FastAPI, page: gr.Blocks) -> None:
    """Answer the calls of `page`'s server functions. To be added before Gradio is mounted on `app`."""
    functions: dict[str, ServerFunction] = {
        function.__name__: function for block in page.blocks.values() for function in getattr(block, "server_fns", ())
    }

    @app.post(PATH, include_in_schema=False)
    async def call(request: Request, asked: Call) -> JSONResponse:
        if asked.fn_name not in functions:
            raise HttpError(404, "not_found", "There is nothing at this address.")
        return JSONResponse(await functions[asked.fn_name](asked.data, gr.Request(request)))
