"""Two engine servers in processes of their own, of which one is killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.backend.engines.openai import OpenAIEngine
from app.settings import EngineSettings
from tests.api.house import events_of, text_of, until_part
from tests.fault.house import ended_once, house, until

pytestmark = [pytest.mark.anyio, pytest.mark.process]

SERVE = """
import asyncio, sys
from tests.engines import vllm_double
async def main():
    server = vllm_double.FakeServer(getattr(vllm_double, sys.argv[1]))
    async with vllm_double.serving(server):
        print(server.url, flush=True)
        await server.begun.wait()
        print("begun", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


class Server:
    """A double in a process, and what it says."""

    def __init__(self, behaviour: str) -> None:
        command = [sys.executable, "-c", SERVE, behaviour]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def servers(*behaviours: str) -> Iterator[list[Server]]:
    running = [Server(behaviour) for behaviour in behaviours]
    try:
        yield running
    finally:
        for server in running:
            server.process.kill()
            server.process.communicate()


async def test_when_one_server_is_killed_before_its_first_token_the_other_one_answers(tmp_path: Path) -> None:
    """Case 35."""
    with servers("silent", "well") as (doomed, well):
        urls = tuple([await asyncio.to_thread(server.says) for server in (doomed, well)])
        engine = OpenAIEngine(EngineSettings(kind="openai", urls=urls), poll_s=0.1)
        async with house(tmp_path, engine) as served:
            await until_part(served, "engine", "ready")
            generation = await served.ask()
            assert await asyncio.to_thread(doomed.says) == "begun"
            doomed.process.kill()
            async with asyncio.timeout(30):
                events = await events_of(served.guest, generation)
            assert (ended_once(events).kind, text_of(events)) == ("done", "A tower.")
            await until(lambda: "1 of 2" in engine.health().detail)
            assert engine.health().state == "ready"
            assert text_of(await events_of(served.guest, await served.ask())) == "A tower."
