"""The pipelines that can be asked, with their hyper-parameters."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.backend.service import Backend
from app.backend.types import Family, ParamInfo, ParamValue, PipelineInfo


class ParamOut(BaseModel):
    name: str
    type: Literal["int", "float", "bool", "str"]
    default: ParamValue
    help: str
    minimum: float | None
    maximum: float | None
    choices: list[str]

    @classmethod
    def of(cls, param: ParamInfo) -> ParamOut:
        return cls(
            name=param.name,
            type=param.type,
            default=param.default,
            help=param.help,
            minimum=param.minimum,
            maximum=param.maximum,
            choices=list(param.choices),
        )


class PipelineOut(BaseModel):
    name: str
    title: str
    summary: str
    paper: str
    family: Family = Field(description="what the method works on; `own`: from a file in the settings")
    uses_retrieval: bool = Field(description="whether it searches a corpus")
    params: list[ParamOut]

    @classmethod
    def of(cls, info: PipelineInfo) -> PipelineOut:
        return cls(
            name=info.name,
            title=info.title,
            summary=info.summary,
            paper=info.paper,
            family=info.family,
            uses_retrieval=info.uses_retrieval,
            params=[ParamOut.of(param) for param in info.params],
        )


class PipelineList(BaseModel):
    pipelines: list[PipelineOut]


def routes(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["pipelines"])

    @router.get("/api/pipelines")
    async def listing() -> PipelineList:
        """What can be asked, and how it can be tuned."""
        return PipelineList(pipelines=[PipelineOut.of(info) for info in backend.pipelines()])

    return router
