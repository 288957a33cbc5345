"""What the load benchmarks share: a server in a process of its own, and users who ask it over HTTP.

Users go through the public door only, and read their streams to the end. What a user saw is one frozen value, also when
it was refused or cut off, so that a benchmark counts and never guesses. The streams are read with aiohttp: httpx takes
more of the machine for a chunk than the server does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
TERMINAL = ("done", "stopped", "failed")
START_S = 900
KEEP_S = 3  # less than the server, which closes what is idle for 5 s: a question must not meet that


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question came to. `status` is done, stopped, failed, refused, or lost (the stream ended too early)."""

    question: str
    status: str
    asked_at: float = 0.0
    first_token_s: float = 0.0
    total_s: float = 0.0
    text: str = ""
    conversation_id: str = ""
    generation_id: str = ""
    passages: tuple[str, ...] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    waited_s: float = 0.0
    degraded: tuple[str, ...] = ()
    error: str = ""

    @property
    def ended_at(self) -> float:
        return self.asked_at + self.total_s

    @property
    def tokens(self) -> int:
        return self.usage.get("completion_tokens", 0)

    def cost(self, prompt: float = 1.0, output: float = 2.0) -> float:
        """What the engine did for it (F12), in weighted tokens."""
        uncached = self.usage.get("prompt_tokens", 0) - self.usage.get("cached_tokens", 0)
        return prompt * uncached + output * self.tokens


class User:
    """A guest with a cookie of its own."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, dict]:  # type: ignore[type-arg]
        async with self._session.request(method, path, json=body, headers=self._headers) as reply:
            if cookies := [f"{name}={morsel.value}" for name, morsel in reply.cookies.items()]:
                self._headers = {"cookie": "; ".join(cookies)}
            return reply.status, await reply.json() if reply.content_type == "application/json" else {}

    async def open(self) -> str:
        """A new conversation."""
        _, conversation = await self.call("POST", "/api/conversations")
        return str(conversation["id"])

    @asynccontextmanager
    async def stream(self, generation: str, after: int = 0) -> AsyncIterator[aiohttp.ClientResponse]:
        """The events of an answer after number `after`; leaving is closing the connection."""
        path = f"/api/generations/{generation}/events?after={after}"
        async with self._session.get(path, headers=self._headers) as reply:
            yield reply

    async def ask(self, question: str, *, conversation: str = "", leave_after_s: float = 0.0, **plan: object) -> Answer:
        """Ask, and read the stream to its end, or for `leave_after_s` and go."""
        began, first, body = time.monotonic(), 0.0, bytearray()
        try:
            conversation = conversation or await self.open()
            began = time.monotonic()
            path = f"/api/conversations/{conversation}/ask"
            status, ticket = await self.call("POST", path, {"question": question} | plan)
            if status != 202:
                took_s, code = time.monotonic() - began, ticket.get("error", {}).get("code", "")
                how = "refused" if status in (429, 503) else "failed"
                return Answer(question, how, began, total_s=took_s, error=f"{status} {code}")
            stream = self.stream(str(ticket["generation_id"]))
            async with asyncio.timeout(leave_after_s or None), stream as reply:
                async for chunk in reply.content.iter_any():
                    if not first and b"event: token" in chunk:
                        first = time.monotonic() - began
                    body += chunk
        except (TimeoutError, aiohttp.ClientError) as error:
            how = "left" if isinstance(error, TimeoutError) else "lost"
            return Answer(question, how, began, total_s=time.monotonic() - began, error=repr(error)[:120])
        return _read(question, conversation, str(ticket["generation_id"]), began, first, bytes(body))


def _read(question: str, conversation: str, generation: str, began: float, first: float, body: bytes) -> Answer:
    total = time.monotonic() - began
    events: list[tuple[str, dict]] = []  # type: ignore[type-arg]
    for block in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "event" in lines:
            events.append((lines["event"], json.loads(lines["data"])))
    kind, last = events[-1] if events else ("", {})
    found = [data["passages"] for name, data in events if name == "retrieved"]
    return Answer(
        question,
        kind if kind in TERMINAL else "lost",
        began,
        first,
        total,
        "".join(data["text"] for name, data in events if name == "token"),
        conversation,
        generation,
        tuple(passage["id"] for passage in found[-1]) if found else (),
        last.get("usage", {}),
        last.get("timings_ms", {}).get("queue", 0.0) / 1000,
        tuple(data["part"] for name, data in events if name == "degraded"),
        last.get("code", ""),
    )


class Server:
    """The program, started as people start it, in a process of its own."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._process = psutil.Process(pid)

    @asynccontextmanager
    async def crowd(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Connections for users; as many as there are streams."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S)
        patience = aiohttp.ClientTimeout(total=None, sock_connect=60)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(self.url, connector=connector, timeout=patience, cookie_jar=jar) as session:
            yield session

    def cpu_s(self) -> float:
        """Processor time of the server process so far (the engine's own processes are not in it)."""
        times = self._process.cpu_times()
        return times.user + times.system

    def vitals(self) -> dict[str, float]:
        """Memory in MB, threads and open files of the server process."""
        with self._process.oneshot():
            return {
                "memory_mb": self._process.memory_info().rss / 2**20,
                "threads": self._process.num_threads(),
                "files": self._process.num_fds(),
            }


@asynccontextmanager
async def serving(
    options: argparse.Namespace,
    settings: Mapping[str, object],
    corpora: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
) -> AsyncIterator[Server]:
    """A server that is ready to answer, with `corpora` (name to passages) beside the demo one. See `arguments`."""
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as folder:
        home = Path(folder)
        config = home / "settings.yaml"
        config.write_text(yaml.safe_dump(dict(settings)))
        data = options.data or home / "data"
        common = ["--profile", options.profile, "--data", str(data), "--config", str(config)]
        for name, passages in (corpora or {}).items():
            file = home / f"{name}.jsonl"
            file.write_text("".join(json.dumps(passage) + "\n" for passage in passages))
            await asyncio.to_thread(_launch, "ingest", "--corpus", name, str(file), *common)
        command = [sys.executable, str(ROOT / "launch.py"), "--no-setup", "serve", "--port", "0", *common]
        with (home / "server.log").open("w+") as log:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log
            )
            try:
                server = Server(await _address(process), process.pid)
                async with server.crowd() as session:
                    await asyncio.wait_for(_ready(session), START_S)
                yield server
            finally:
                if process.returncode is None:
                    process.terminate()
                await process.wait()
                log.seek(0)
                said = [line for line in log.read().splitlines() if '"level": "error"' in line or line[:1] != "{"]
                print(*said[-12:], sep="\n", file=sys.stderr)


def _launch(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), "--no-setup", *arguments], cwd=ROOT, check=True, stdout=sys.stderr
    )


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if b" is at http" in line:
            return line.decode().rpartition(" ")[2].strip()
    raise SystemExit("The server did not start; the end of its log is here.")


async def _ready(session: aiohttp.ClientSession) -> None:
    while True:
        async with session.get("/readyz") as reply:
            if reply.status == 200:
                return
        await asyncio.sleep(0.5)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least-squares line through `points`."""
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def jain(shares: Sequence[float]) -> float:
    """Jain's index: 1 when all are equal, 1/n when one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def own_cpu_s() -> float:
    """Processor time of this process: the load generator's."""
    times = os.times()
    return times.user + times.system


def arguments(doc: str | None, profile: str = "cpu") -> argparse.ArgumentParser:
    """What all of them take."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="everything in one line")
    parser.add_argument("--profile", default=profile)
    parser.add_argument("--data", type=Path, help="a folder to keep, with its converted weights (default: a new one)")
    return parser


def report(name: str, targets: Mapping[str, bool], results: object, options: argparse.Namespace) -> int:
    """Print everything as JSON, then one line with what passed; the exit code says whether all did."""
    if not options.json:
        print(json.dumps({"benchmark": name, "results": results}, indent=2))
    line = {"benchmark": name, "passed": all(targets.values()), "targets": targets}
    print(json.dumps(line | {"results": results} if options.json else line), flush=True)
    return 0 if all(targets.values()) else 1
