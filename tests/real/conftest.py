"""One server with the real engine, encoder, index and database, shared by every test in this folder.

The first question is asked as soon as the port is open, a minute before the engine is up.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
UP_S = 400
EARLY_QUESTION = "What does RAG stand for?"

Event = tuple[int, str, dict[str, object]]


@dataclass
class Visitor:
    """A guest with a cookie of its own."""

    http: httpx.Client
    conversations: list[str] = field(default_factory=list)

    def new(self) -> str:
        self.conversations.append(self.http.post("/api/conversations").raise_for_status().json()["id"])
        return self.conversations[-1]

    def ask(self, question: str, conversation: str | None = None, **fields: object) -> str:
        """Ask; returns the id of the generation."""
        path = f"/api/conversations/{conversation or self.new()}/ask"
        return self.http.post(path, json={"question": question, **fields}).raise_for_status().json()["generation_id"]

    def events(self, generation_id: str, after: int = 0) -> Iterator[Event]:
        """The event stream, parsed."""
        seq, kind = 0, ""
        with self.http.stream("GET", f"/api/generations/{generation_id}/events", params={"after": after}) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    seq = int(value)
                elif name == "event":
                    kind = value
                elif name == "data":
                    yield seq, kind, json.loads(value)

    def answer(self, question: str, conversation: str | None = None, **fields: object) -> list[Event]:
        return list(self.events(self.ask(question, conversation, **fields)))


class Server:
    """The program as a user starts it, in a process of its own."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data = data
        self.began = time.monotonic()
        self._log = data / f"server-{time.monotonic_ns()}.log"
        command = [sys.executable, "launch.py", "--no-setup", "serve", "--port", "0", "--data", str(data), *flags]
        with self._log.open("w") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        self._clients: list[httpx.Client] = []
        self.url = self._wait(lambda: re.search(r"http://127\.0\.0\.1:\d+", self.log()), 60).group()

    def log(self) -> str:
        return self._log.read_text()

    def visitor(self) -> Visitor:
        visitor = Visitor(httpx.Client(base_url=self.url, timeout=300))
        self._clients.append(visitor.http)
        visitor.http.get("/healthz").raise_for_status()
        return visitor

    def wait_ready(self) -> None:
        self._wait(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, UP_S)

    def engine_metric(self, name: str) -> float:
        """The sum of a metric of the engine over its labels."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, as an operator would; the exit code."""
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _wait(self, ready: Callable[[], object], patience_s: float):
        until = time.monotonic() + patience_s
        while not (result := ready()):
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"the server did not come up:\n{self.log()[-4000:]}")
            time.sleep(0.1)
        return result


@dataclass(frozen=True)
class Early:
    """The question that was asked before the engine was up."""

    visitor: Visitor
    generation_id: str
    asked_after_s: float


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session")
def started(data: Path) -> Iterator[tuple[Server, Early]]:
    server = Server(data, "--profile", "cpu")
    visitor = server.visitor()
    early = Early(visitor, visitor.ask(EARLY_QUESTION), time.monotonic() - server.began)
    stream = visitor.events(early.generation_id)
    next(stream)
    server.wait_ready()
    list(stream)
    yield server, early
    killed = server.process.poll() is not None
    assert server.stop() == 0 or killed


@pytest.fixture
def server(started: tuple[Server, Early]) -> Server:
    return started[0]


@pytest.fixture
def early(started: tuple[Server, Early]) -> Early:
    return started[1]


@pytest.fixture
def visitor(server: Server) -> Visitor:
    return server.visitor()
