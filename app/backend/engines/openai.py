"""Any vLLM server, or several of them, by URL, through OpenAI's protocol.

Invariant: a request is sent a second time only while nothing of its answer has arrived; closing the iterator of
`stream` closes the connection, which makes the server abort.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import httpx
import stamina

from app.backend.engines import openai_wire as wire
from app.backend.engines.openai_wire import Retry, translated
from app.backend.engines.scraped import SCRAPE_S
from app.backend.errors import BadInput, Unavailable
from app.backend.types import Delta, Health, HealthState, Prompt, Sampling, Usage
from app.settings import ServedEngine

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger(__name__)

_CONTEXT_TOKENS = 4096
"""For servers that do not tell their context length."""


@dataclass(eq=False)
class _Server:
    """A server: whether it answers, what it serves, how many answers it owes us."""

    url: str
    client: AsyncOpenAI
    up: bool = False
    outstanding: int = 0
    model: str = ""
    context_tokens: int = _CONTEXT_TOKENS


class OpenAIEngine:
    """Fits `protocols.Engine`. A request goes to the server that is up and owes the fewest answers."""

    def __init__(self, settings: ServedEngine, *, poll_s: float = 2.0) -> None:
        if not settings.urls:
            raise BadInput("An engine behind a URL needs its address: give --engine-url http://HOST:PORT.")
        self.model = ""
        self.context_tokens = settings.max_model_len or _CONTEXT_TOKENS
        self._settings = settings
        self._poll_s = poll_s
        self._key = settings.api_key.get_secret_value() if settings.api_key else "none"
        self._http = httpx.AsyncClient(timeout=3.0, headers={"Authorization": f"Bearer {self._key}"})
        self._servers: tuple[_Server, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._health = Health("stopped", "The engine's server is not asked yet.", time.time())

    async def start(self) -> None:
        self._become("starting", "The engine's server does not answer yet.")
        self._task = asyncio.create_task(self._poll(), name="engine-poll")

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        async with AsyncExitStack() as stack:
            async for attempt in stamina.retry_context(on=Retry, attempts=2, wait_initial=0.1, wait_jitter=0.1):
                with attempt:
                    asking = self._asking(self._pick(), prompt, sampling, request_id, cache_salt)
                    chunks = await stack.enter_async_context(asking)
            finish: str | None = None  # vLLM knows more reasons than OpenAI
            stopped_by: str | None = None
            usage: Usage | None = None
            with translated(started=True):
                async for chunk in chunks:
                    usage = wire.usage(chunk) or usage
                    for part in wire.parts(chunk):
                        finish, stopped_by = part.finish or finish, part.stopped_by or stopped_by
                        text = "" if sampling.echo else part.text  # the prompt's own
                        if text or part.tokens:
                            yield Delta(text, usage=usage, tokens=part.tokens)
            if finish is None or finish == "abort":
                raise Unavailable("The engine's server broke off the answer.")
            ended: Literal["stop", "length"] = "length" if finish == "length" else "stop"
            yield Delta("", ended, usage or Usage(engine_calls=1), stopped_by=stopped_by)

    @asynccontextmanager
    async def _asking(
        self, server: _Server, prompt: Prompt, sampling: Sampling, request_id: str, cache_salt: str | None
    ) -> AsyncIterator[AsyncIterator[wire.Chunk]]:
        """The answer's chunks; entered when the first of them is there."""
        server.outstanding += 1
        try:
            with translated(started=False):
                response = await wire.ask(server.client, server.model, prompt, sampling, request_id, cache_salt)
            try:
                with translated(started=False):
                    first: wire.Chunk | None = await anext(response, None)
                if first is None:
                    raise Retry("The engine's server gave no answer.")
                yield _chain(first, response)
            finally:
                await response.close()
        except Retry:
            # The next poll brings it back if it is well.
            server.up = False
            raise
        finally:
            server.outstanding -= 1

    def _pick(self) -> _Server:
        up = [server for server in self._servers if server.up]
        if not up and self._health.state != "ready":
            raise Unavailable(self._health.detail)
        return min(up or self._servers, key=lambda server: server.outstanding)

    async def count_tokens(self, prompt: Prompt) -> int:
        """As the server counts; an estimate where it cannot."""
        server = self._pick()
        try:
            response = await self._http.post(f"{server.url}/tokenize", json=wire.countable(server.model, prompt))
        except httpx.HTTPError as error:
            raise Unavailable("The engine's server cannot be reached.") from error
        return wire.counted(response.content, prompt) if response.is_success else wire.estimate(prompt)

    async def scrape(self) -> Mapping[str, str]:
        """As `scraped.Scraped.scrape`."""
        servers = [server for server in self._servers if server.up]
        asked = (asyncio.wait_for(self._http.get(f"{server.url}/metrics"), SCRAPE_S) for server in servers)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        pairs = zip(servers, answers, strict=True)
        return {s.url: answer.text for s, answer in pairs if isinstance(answer, httpx.Response) and answer.is_success}

    def _connect(self) -> tuple[_Server, ...]:
        """Takes seconds: the import."""
        from openai import AsyncOpenAI, Timeout

        # No read limit: in a full server a first token waits long, and every question has a deadline of its own.
        client = AsyncOpenAI(api_key=self._key, base_url="http://", timeout=Timeout(None, connect=3.0), max_retries=0)
        roots = (url.rstrip("/").removesuffix("/v1") for url in self._settings.urls)
        return tuple(_Server(root, client.with_options(base_url=f"{root}/v1")) for root in roots)

    async def _poll(self) -> None:
        begin = time.monotonic()
        self._servers = await asyncio.to_thread(self._connect)
        while True:
            problems = [p for p in await asyncio.gather(*map(self._check, self._servers)) if p]
            up = [server for server in self._servers if server.up]
            if up:
                self.model = up[0].model
                self.context_tokens = min(server.context_tokens for server in up)
                down = len(self._servers) - len(up)
                self._become("ready", f"{down} of {len(self._servers)} engine servers do not answer." if down else "")
            elif self._health.state == "starting" and time.monotonic() - begin < self._settings.start_expected_s:
                self._become("starting", problems[0])
            else:
                self._become("down", problems[0])
            await asyncio.sleep(self._poll_s)

    async def _check(self, server: _Server) -> str:
        """Ask a server how it is; the problem in one sentence, if there is one."""
        problem = await self._problem(server)
        server.up = not problem
        return problem

    async def _problem(self, server: _Server) -> str:
        try:
            health = await self._http.get(f"{server.url}/health")
            if not health.is_success:
                return "The engine's server is up, but its engine is not."
            if not server.up:
                listed = await self._http.get(f"{server.url}/v1/models")
                if listed.status_code in (401, 403):
                    return "The engine's server refuses the API key; set engine.api_key."
                self._learn(server, listed.raise_for_status().json()["data"])
        except (httpx.HTTPError, httpx.InvalidURL):
            return "The engine's server does not answer; is its address right, and is it running?"
        except (ValueError, KeyError, TypeError, IndexError):
            return "The address of the engine's server belongs to something else: it lists no models."
        return ""

    def _learn(self, server: _Server, models: Sequence[dict[str, object]]) -> None:
        chosen = next((model for model in models if model["id"] == self._settings.model), models[0])
        server.model = str(chosen["id"])
        length = chosen.get("max_model_len")
        server.context_tokens = length if isinstance(length, int) else self._settings.max_model_len or _CONTEXT_TOKENS

    def health(self) -> Health:
        return self._health

    async def until(self, holds: Callable[[Health], bool]) -> Health:
        """Wait for a health that `holds`."""
        while not holds(self._health):
            await self._changed.wait()
        return self._health

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._become("stopped", "The connection to the engine's server is closed.")
        await self._http.aclose()
        await asyncio.gather(*(server.client.close() for server in self._servers))

    def _become(self, state: HealthState, detail: str) -> None:
        if (state, detail) != (self._health.state, self._health.detail):
            log.info("engine servers: %s %s", state, detail)
        since = self._health.since if state == self._health.state else time.time()
        self._health = Health(state, detail, since, self._settings.start_expected_s if state == "starting" else None)
        self._changed.set()
        self._changed = asyncio.Event()


async def _chain(first: wire.Chunk, rest: AsyncIterator[wire.Chunk]) -> AsyncIterator[wire.Chunk]:
    yield first
    async for chunk in rest:
        yield chunk
