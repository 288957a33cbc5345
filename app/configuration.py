"""Reads the settings, once: defaults < profile < colloquy.yaml < COLLOQUY_* < flags.

Environment variables join the names with two underscores: `COLLOQUY_ENGINE__MODEL=...`.

Invariant: nothing else reads the environment or a settings file; each mistake in them becomes one BadInput sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from app import install
from app.backend.errors import BadInput
from app.settings import ASSETS, Settings
from app.yaml_file import read_mapping

Tree = Mapping[str, object]


_PLAIN = {
    "model_type": "must be a group of settings, such as `server: {port: 8080}`",
    "dict_type": "must be a group of settings, such as `server: {port: 8080}`",
    "path_type": "must be a path",
}
"""What pydantic says in words of its own, or of Python's."""
_OF_AN_ENCODER = frozenset({"encoder_languages", "query_prefix", "passage_prefix"})


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values came from, as a phrase for error messages."""

    name: str
    values: Tree


def load(flags: Tree | None = None, *, profile: str | None = None, config: Path | None = None) -> Settings:
    """Read the settings. `flags` is a nested mapping of the values given on the command line.

    Without a `profile` from the flags, the environment or the config file, what was set up decides: cuda or cpu.
    Raises BadInput with one sentence that names the setting and its source when a value is out of range or unknown.
    """
    file = _config_source(config)
    environment = _environment()
    line = _Source("the command line", flags or {})
    named = profile or environment.values.get("profile") or file.values.get("profile") or default_profile()
    profiles = {path.stem: path for path in sorted((ASSETS / "profiles").glob("*.yaml"))}
    if not isinstance(named, str) or named not in profiles:
        raise BadInput(f"There is no profile {named!r}; choose one of {', '.join(profiles)}.")
    sources = (_Source(f"the profile {named}", read_mapping(profiles[named])), file, environment, line)
    encoder = next(filter(None, (_encoder(source.values) for source in reversed(sources))), None)
    merged: Tree = {}
    for source in sources:
        merged = _merge(merged, _fitting(source.values, encoder))
    try:
        return Settings.model_validate({**merged, "profile": named})
    except ValidationError as error:
        raise BadInput(_sentence(error.errors(include_url=False)[0], sources)) from error


def default_profile() -> str:
    """What was installed when the set-up looked at the hardware, which takes seconds."""
    return "cuda" if install.Environment().version("vllm") is not None else "cpu"


def _encoder(values: Tree) -> object:
    retrieval = values.get("retrieval")
    return retrieval.get("encoder") if isinstance(retrieval, Mapping) else None


def _fitting(values: Tree, encoder: object) -> Tree:
    """`values` without what they say of their encoder, where a later source names another."""
    retrieval = values.get("retrieval")
    if not isinstance(retrieval, Mapping) or retrieval.get("encoder") in (None, encoder):
        return values
    return {**values, "retrieval": {key: retrieval[key] for key in retrieval if key not in _OF_AN_ENCODER}}


def _merge(base: Tree, over: Tree) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _config_source(config: Path | None) -> _Source:
    if config is not None and not config.is_file():
        raise BadInput(f"The config file {config} does not exist; give --config an existing YAML file.")
    path = config or Path("colloquy.yaml")
    return _Source(path.name, read_mapping(path) if path.is_file() else {})


def _environment() -> _Source:
    """`COLLOQUY_*`; a name that is no setting is refused, because a typing error would otherwise pass unseen."""
    prefix = str(Settings.model_config["env_prefix"])
    for name in os.environ:
        group = name.removeprefix(prefix).split("__")[0].lower()
        if name.startswith(prefix) and group not in Settings.model_fields:
            raise BadInput(f"The environment variable {name} is no setting.{_suggest(group, Settings.model_fields)}")
    try:
        values = EnvSettingsSource(Settings)()
    except RecursionError as error:
        raise BadInput("An environment variable has too many brackets in one another.") from error
    except SettingsError as error:
        raise BadInput(_no_json(str(error), prefix)) from error
    return _Source("the environment", values)


def _no_json(error: str, prefix: str) -> str:
    """Of the settings' own words only the group is of use; whoever set the variable knows it by its name."""
    group = next((field for field in Settings.model_fields if f'"{field}"' in error), "")
    names = sorted(name for name in os.environ if name.lower().startswith(f"{prefix}{group}".lower()))
    return (
        f'{" or ".join(names)} in the environment is no JSON, which lists and groups need: \'["a"]\', \'{{"a": "b"}}\'.'
    )


def _sentence(error: ErrorDetails, sources: tuple[_Source, ...]) -> str:
    """One sentence for the first thing that is wrong."""
    where = tuple(str(part) for part in error["loc"])
    setting = ".".join(where)
    source = next((s.name for s in reversed(sources) if _holds(s.values, where)), "the defaults")
    group: type[BaseModel] = Settings
    for part in where[:-1]:
        inner = _inner(group.model_fields[part].annotation) if part in group.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        group = inner
    if error["type"] == "extra_forbidden":
        return f"{setting} (from {source}) is no setting.{_suggest(where[-1], group.model_fields)}"
    message = _PLAIN.get(error["type"]) or error["msg"][:1].lower() + error["msg"][1:]
    message = (
        message.removeprefix("value error, ").replace("input should", "it should").replace("it should be", "must be")
    )
    field = group.model_fields.get(where[-1])
    allowed = _range(field.metadata) if field is not None else ""
    secret = isinstance(error["input"], Mapping) or (field is not None and "Secret" in str(field.annotation))
    given = "" if secret else f", not {error['input']!r}"
    return f"{setting} (from {source}) {allowed or message}{given}."


def _inner(annotation: object) -> object:
    """What a setting holds; of many by name, what each of them is."""
    return get_args(annotation)[-1] if get_origin(annotation) is Mapping else annotation


def _range(metadata: Sequence[object]) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [f"{word} {getattr(m, key)}" for m in metadata for key, word in words.items() if hasattr(m, key)]
    return f"must be a number, {' and '.join(bounds)}" if bounds else ""


def _holds(values: Tree, where: tuple[str, ...]) -> bool:
    at: object = values
    for part in where:
        if not isinstance(at, Mapping):
            return True
        if part not in at:
            return False
        at = at[part]
    return True


def _suggest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else f" Known here: {', '.join(known)}."
