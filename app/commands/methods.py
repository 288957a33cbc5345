"""`methods`: the pipelines that can be asked, and the parameters of each.

Invariant: all of it is drawn from the pipelines' own classes, so that `docs/parameters.md` is what this prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from app.backend.types import ParamInfo, PipelineInfo
from app.commands.common import Config, Json, Profile, emit, read_settings, say

HEAD = """# The methods and their parameters

Made by `python launch.py methods --markdown > docs/parameters.md`. Names and defaults are FlashRAG's where it has the
method. Every method takes what the first table lists, and those that search what the second lists; where its default
is another one, the method names it. A profile, or `generation:` and `retrieval:` in `colloquy.yaml`, change the
defaults of these two tables.
"""


def methods(
    name: Annotated[str, typer.Argument(help="One of them, to see its parameters.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="All of them with their parameters, as a page.")] = False,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List the RAG methods, or the parameters of one of them."""
    from app.backend.pipelines.registry import create_registry

    if markdown:
        say("\n".join(page()))
        return
    registry = create_registry(read_settings(None, config, profile))
    infos = (registry.info(name),) if name else registry.infos()
    for line in _one(infos[0]) if name else _all(infos):
        say(line)
    if as_json:
        emit({"pipelines": [asdict(info) for info in infos]})


def _all(infos: tuple[PipelineInfo, ...]) -> Iterator[str]:
    wide = max(len(info.name) for info in infos)
    yield from (f"{info.name:{wide}}  {info.summary}" for info in infos)


def _one(info: PipelineInfo) -> Iterator[str]:
    yield f"{info.title}: {info.summary}"
    if info.paper:
        yield info.paper
    yield ""
    for param in info.params:
        yield f"  {param.name}={_plain(param)}"
        yield f"      {param.help} Takes {param.allowed}."


def page() -> Iterator[str]:
    """The shipped methods as lines of Markdown: what is common once, then each with what is its own."""
    from app.backend.pipelines.params import GenerationParams, RetrievalParams, described
    from app.backend.pipelines.registry import PIPELINES

    answering, searching = described(GenerationParams, {}), described(RetrievalParams, {})
    yield HEAD
    yield from _table("Every method", answering)
    yield from _table("Every method that searches", [param for param in searching if param not in answering])
    for name, entry in PIPELINES.items():
        info = entry.info(name, {})
        yield from _table(f"`{name}`: {info.title}", [p for p in info.params if p not in searching], info)


def _table(title: str, params: Sequence[ParamInfo], info: PipelineInfo | None = None) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    if info:
        yield f"{info.summary} {info.paper}".strip()
        yield ""
    if params:
        yield "| parameter | default | takes | what it does |"
        yield "| --- | --- | --- | --- |"
        yield from (f"| `{p.name}` | {_plain(p)} | {p.allowed} | {p.help} |" for p in params)
        yield ""


def _plain(param: ParamInfo) -> str:
    value = param.default
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
