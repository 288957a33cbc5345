"""Any vLLM server, or several of them, by URL, through OpenAI's protocol.

Invariant: a request is sent a second time only while nothing of its answer has arrived; closing the iterator of
`stream` closes the connection, which makes the server abort.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx
import stamina

from app.backend.errors import BadInput, Unavailable
from app.backend.types import Delta, Health, HealthState, Message, Sampling, Usage
from app.settings import EngineSettings

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionStreamOptionsParam

log = logging.getLogger(__name__)

_CHARS_PER_TOKEN = 3
"""For servers that cannot count tokens: rather too many than too few."""
_CONTEXT_TOKENS = 4096
"""For servers that do not tell their context length."""
_USAGE = cast("ChatCompletionStreamOptionsParam", {"include_usage": True, "continuous_usage_stats": True})
"""vLLM then tells the usage with every chunk, so that an answer that is broken off is counted too."""


class _Retry(Unavailable):
    """Nothing of the answer has arrived, so that it may be asked for again."""


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

    def __init__(self, settings: EngineSettings, *, poll_s: float = 2.0) -> None:
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
        self, messages: Sequence[Message], sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        async with AsyncExitStack() as stack:
            async for attempt in stamina.retry_context(on=_Retry, attempts=2, wait_initial=0.1, wait_jitter=0.1):
                with attempt:
                    asking = self._asking(self._pick(), messages, sampling, request_id, cache_salt)
                    chunks = await stack.enter_async_context(asking)
            finish: str | None = None  # vLLM knows more reasons than OpenAI
            usage: Usage | None = None
            with _translated(started=True):
                async for chunk in chunks:
                    if chunk.usage is not None:
                        usage = _usage(chunk.usage)
                    for choice in chunk.choices:
                        finish = choice.finish_reason or finish
                        if choice.delta.content:
                            yield Delta(choice.delta.content, usage=usage)
            if finish is None or finish == "abort":
                raise Unavailable("The engine's server broke off the answer.")
            yield Delta("", "length" if finish == "length" else "stop", usage or Usage(engine_calls=1))

    @asynccontextmanager
    async def _asking(
        self,
        server: _Server,
        messages: Sequence[Message],
        sampling: Sampling,
        request_id: str,
        cache_salt: str | None,
    ) -> AsyncIterator[AsyncIterator[ChatCompletionChunk]]:
        """The answer's chunks; entered when the first of them is there."""
        server.outstanding += 1
        try:
            with _translated(started=False):
                response = await server.client.chat.completions.create(
                    model=server.model,
                    messages=cast("list[ChatCompletionMessageParam]", _chat(messages)),
                    stream=True,
                    stream_options=_USAGE,
                    max_tokens=sampling.max_tokens,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    stop=list(sampling.stop) or None,
                    seed=sampling.seed,
                    frequency_penalty=sampling.frequency_penalty,
                    extra_headers={"X-Request-Id": request_id},
                    extra_body={"cache_salt": cache_salt} if cache_salt else None,
                )
            try:
                with _translated(started=False):
                    first = await anext(response, None)
                if first is None:
                    raise _Retry("The engine's server gave no answer.")
                yield _chain(first, response)
            finally:
                await response.close()
        except _Retry:
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

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """As the server counts; an estimate where it cannot."""
        server = self._pick()
        body = {"model": server.model, "messages": _chat(messages)}
        try:
            response = await self._http.post(f"{server.url}/tokenize", json=body)
        except httpx.HTTPError as error:
            raise Unavailable("The engine's server cannot be reached.") from error
        if response.is_success:
            return int(response.json()["count"])
        return sum(len(message.content) // _CHARS_PER_TOKEN + 8 for message in messages)

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


@contextmanager
def _translated(*, started: bool) -> Iterator[None]:
    """The client's errors as ours. `started` when part of the answer has arrived."""
    from openai import APIConnectionError, APIError, APIStatusError

    kind = Unavailable if started else _Retry
    try:
        yield
    except APIStatusError as error:
        raise _refusal(error) from error
    except APIConnectionError as error:
        raise kind(f"The engine's server {'broke off the answer' if started else 'cannot be reached'}.") from error
    except (APIError, ValueError) as error:  # an error event, or no JSON, inside the stream
        raise kind("The engine's server failed while it answered.") from error


def _refusal(error: APIStatusError) -> BadInput | Unavailable:
    status = error.status_code
    if status in (401, 403):
        return Unavailable("The engine's server refuses the API key; set engine.api_key.")
    if status == 404:
        return _Retry("The engine's server does not serve this model any more.")
    if status < 500 and status not in (408, 429):
        return BadInput("The engine's server refuses the request; it is probably too long for the model.")
    wait = error.response.headers.get("retry-after", "")
    return _Retry("The engine's server is overloaded.", retry_after_s=float(wait) if wait.isdigit() else None)


def _chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return Usage(usage.prompt_tokens, cached or 0, usage.completion_tokens, 1)


async def _chain(
    first: ChatCompletionChunk, rest: AsyncIterator[ChatCompletionChunk]
) -> AsyncIterator[ChatCompletionChunk]:
    yield first
    async for chunk in rest:
        yield chunk
