"""What a pipeline declares about itself: its parameters, and how it is shown.

Invariant: parameters are validated once, at the door, by the pipeline's own class of them; errors are one sentence made
from the same facts that forms show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from app.backend.errors import BadInput
from app.backend.protocols import Pipeline
from app.backend.types import Family, ParamInfo, Params, ParamValue, PipelineInfo, RetrieverName, Sampling


class GenerationParams(BaseModel):
    """The parameters of every pipeline; a pipeline with more of them extends this class. Bounds come in pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(512, ge=1, le=32_768, description="Tokens the answer may have.")
    temperature: float = Field(0.0, ge=0, le=2, description="0 always takes the likeliest token; higher varies more.")
    top_p: float = Field(1.0, ge=0.01, le=1, description="Only the likeliest tokens that make up this share are drawn.")
    frequency_penalty: float = Field(0.0, ge=0, le=2, description="Above 0, words written often become less likely.")

    @classmethod
    def of(cls, params: Params) -> Self:
        """The parameters of a query, which have been validated."""
        return cls.model_validate(dict(params))

    def sampling(self) -> Sampling:
        return Sampling(self.max_tokens, self.temperature, self.top_p, frequency_penalty=self.frequency_penalty)


AS_FLASHRAG = "As FlashRAG: its prompt, which asks for the answer alone and shows no conversation."


class RetrievalParams(GenerationParams):
    """What every pipeline that searches takes in addition."""

    retrieval_topk: int = Field(5, ge=1, le=100, description="Passages that are retrieved.")
    context_topk: int = Field(100, ge=1, le=100, description="Of these, the model reads at most so many.")
    retriever: RetrieverName = Field("hybrid", description="How passages are found: by meaning, by words, or by both.")


class ReaderParams(RetrievalParams):
    """Of a method whose answer FlashRAG asks for by its common prompt."""

    compat: bool = Field(False, description=AS_FLASHRAG)


@dataclass(frozen=True, slots=True)
class Entry:
    """A pipeline in the registry. Where it searches, a follow-up question is rewritten to stand alone before it runs,
    but for one that is not `standalone`.
    """

    family: Family
    title: str
    summary: str
    paper: str
    uses_retrieval: bool
    params: type[GenerationParams]
    run: Pipeline
    standalone: bool = True

    def info(self, name: str, defaults: Params) -> PipelineInfo:
        """How it is shown; `defaults` replace the common ones."""
        params = described(self.params, defaults)
        return PipelineInfo(name, self.title, self.summary, self.paper, self.uses_retrieval, params, self.family)


def described(params: type[GenerationParams], defaults: Params) -> tuple[ParamInfo, ...]:
    """What `params` takes; `defaults` replace those of the class, but not where it differs from the other classes."""
    fields, common = params.model_fields, RetrievalParams.model_fields
    own = {key for key in fields.keys() & common if fields[key].default != common[key].default}
    return tuple(
        _describe(key, field, field.default if key in own else defaults.get(key, field.default))
        for key, field in fields.items()
    )


def checked(info: PipelineInfo, params: type[GenerationParams], given: Params) -> Params:
    """All parameters: those given, else their defaults. Raises BadInput."""
    values = {param.name: param.default for param in info.params}
    if unknown := [name for name in given if name not in values]:
        raise BadInput(f"{info.name} has no parameter {unknown[0][:80]!r}; it has {', '.join(values)}.")
    try:
        valid: Params = params.model_validate(values | dict(given)).model_dump()
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]["loc"][0]
        allowed = next(param.allowed for param in info.params if param.name == wrong)
        raise BadInput(f"{wrong} must be {allowed}.") from None
    return valid


def _describe(name: str, field: FieldInfo, default: ParamValue) -> ParamInfo:
    kind = field.annotation
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    names: dict[object, Literal["int", "float", "bool", "str"]] = {int: "int", float: "float", bool: "bool"}
    minimum = next((float(str(m.ge)) for m in field.metadata if isinstance(m, Ge)), None)
    maximum = next((float(str(m.le)) for m in field.metadata if isinstance(m, Le)), None)
    return ParamInfo(name, names.get(kind, "str"), default, field.description or "", minimum, maximum, choices)
