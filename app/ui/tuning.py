"""The form of a pipeline's settings: what it shows, which values differ from the defaults, and what is wrong with one.

Invariant: it is drawn from `PipelineInfo.params` alone, so that a method has its form by declaring its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.backend.errors import BadInput
from app.backend.types import ParamInfo, Params, ParamValue, PipelineInfo
from app.ui import i18n
from app.ui.i18n import Lang

_COMMON = (
    "retrieval_topk",
    "context_topk",
    "retriever",
    "max_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "compat",
)


@dataclass(frozen=True, slots=True)
class Control:
    """One row of the form. `value` and `default` are as a form sends them, `wrong` is a sentence about the value."""

    info: ParamInfo
    help: str
    value: str
    default: str
    shown_default: str
    wrong: str

    @property
    def name(self) -> str:
        return self.info.name


@dataclass(frozen=True, slots=True)
class Checked:
    """What a form sent: the values that differ from the defaults, and a sentence for each that is not allowed."""

    changed: Params
    wrong: Mapping[str, str]


def checked(info: PipelineInfo, given: Params, validate: Callable[[str, Params], Params], lang: Lang) -> Checked:
    """`given`, value by value, with the server's own check. What the pipeline does not have (any more) is left out."""
    valid: dict[str, ParamValue] = {}
    wrong: dict[str, str] = {}
    for param in info.params:
        if param.name in given:
            try:
                valid[param.name] = validate(info.name, {param.name: given[param.name]})[param.name]
            except BadInput:
                wrong[param.name] = sentence(param, lang)
    return Checked(changed(info, valid), wrong)


def changed(info: PipelineInfo, params: Params) -> dict[str, ParamValue]:
    """The values that are not the defaults, in the order of the pipeline."""
    return {p.name: params[p.name] for p in info.params if p.name in params and params[p.name] != p.default}


def controls(info: PipelineInfo, given: Params, wrong: Mapping[str, str], lang: Lang) -> list[Control]:
    """The rows of the form: what is the method's own comes first."""
    return [
        Control(
            param,
            i18n.known(lang, f"help.{info.name}.{param.name}", i18n.known(lang, f"help.{param.name}", param.help)),
            _sent(given.get(param.name, param.default)),
            _sent(param.default),
            shown(param.default, lang),
            wrong.get(param.name, ""),
        )
        for param in sorted(info.params, key=lambda p: _COMMON.index(p.name) if p.name in _COMMON else -1)
    ]


def sentence(param: ParamInfo, lang: Lang) -> str:
    """What a value must be, as the server says it, in the reader's language."""
    if param.choices:
        allowed = i18n.text(lang, "tune.choice", choices=", ".join(param.choices))
    elif param.minimum is None or param.maximum is None:
        allowed = i18n.text(lang, "tune.bool" if param.type == "bool" else "tune.str")
    else:
        allowed = i18n.text(lang, f"tune.{param.type}", low=f"{param.minimum:g}", high=f"{param.maximum:g}")
    return i18n.text(lang, "tune.wrong", name=param.name, allowed=allowed)


def shown(value: ParamValue, lang: Lang) -> str:
    """A value as people read it."""
    return i18n.text(lang, "tune.on" if value else "tune.off") if isinstance(value, bool) else _sent(value)


def _sent(value: ParamValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
