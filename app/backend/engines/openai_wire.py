"""What goes over the wire to a vLLM server and comes back: requests, chunks and errors in OpenAI's protocol.

Invariant: pure translation; nothing here knows of servers, retries or health. Chats go to `chat/completions`, prompts
without roles to `completions`; what vLLM takes beyond OpenAI's fields goes into the body beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from app.backend.errors import BadInput, Unavailable
from app.backend.types import Prompt, Sampling, Scored, Usage

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, AsyncStream
    from openai.types import Completion
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionStreamOptionsParam

    Chunk = ChatCompletionChunk | Completion

_CHARS_PER_TOKEN = 3
"""For servers that cannot count tokens: rather too many than too few."""
_MOST_TOKENS = 2**31
_USAGE = cast("ChatCompletionStreamOptionsParam", {"include_usage": True, "continuous_usage_stats": True})
"""vLLM then tells the usage with every chunk, so that an answer that is broken off is counted too."""


class Retry(Unavailable):
    """Nothing of the answer has arrived, so that it may be asked for again."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one chunk adds."""

    text: str
    tokens: tuple[Scored, ...]
    finish: str | None
    stopped_by: str | None


async def ask(
    client: AsyncOpenAI, model: str, prompt: Prompt, sampling: Sampling, request_id: str, cache_salt: str | None
) -> AsyncStream[ChatCompletionChunk] | AsyncStream[Completion]:
    """Send a request; the answer comes in chunks."""
    more: dict[str, object] = {"cache_salt": cache_salt} if cache_salt else {}
    if sampling.special_tokens:
        more["skip_special_tokens"] = False
    if isinstance(prompt, str):
        return await client.completions.create(
            model=model,
            prompt=prompt,
            echo=sampling.echo or None,
            stream=True,
            stream_options=_USAGE,
            max_tokens=0 if sampling.echo else sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            stop=list(sampling.stop) or None,
            seed=sampling.seed,
            frequency_penalty=sampling.frequency_penalty,
            logprobs=0 if sampling.echo else sampling.logprobs or None,
            extra_headers={"X-Request-Id": request_id},
            extra_body=more,
        )
    return await client.chat.completions.create(
        model=model,
        messages=cast("list[ChatCompletionMessageParam]", _chat(prompt)),
        stream=True,
        stream_options=_USAGE,
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        stop=list(sampling.stop) or None,
        seed=sampling.seed,
        frequency_penalty=sampling.frequency_penalty,
        logprobs=bool(sampling.logprobs) or None,
        top_logprobs=sampling.logprobs or None,
        extra_headers={"X-Request-Id": request_id},
        extra_body=more | _going_on(prompt),
    )


def parts(chunk: Chunk) -> Iterator[Part]:
    """What a chunk of either kind adds."""
    for choice in chunk.choices:
        stopped_by = getattr(choice, "stop_reason", None)  # vLLM's, not OpenAI's
        text = choice.text if hasattr(choice, "text") else choice.delta.content or ""
        if not isinstance(text, str):
            raise ValueError(f"not a text: {str(text)[:80]!r}")
        yield Part(text, _scored(choice), choice.finish_reason, stopped_by if isinstance(stopped_by, str) else None)


def usage(chunk: Chunk) -> Usage | None:
    """What it has cost so far. The client takes a chunk as it comes, so that what is no number has to be told here."""
    if chunk.usage is None:
        return None
    details = chunk.usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return Usage(_count(chunk.usage.prompt_tokens), _count(cached), _count(chunk.usage.completion_tokens), 1)


def _count(told: object) -> int:
    """Tokens, as a server tells them. Raises ValueError."""
    if told is None:
        return 0
    if not isinstance(told, int) or not 0 <= told < _MOST_TOKENS:
        raise ValueError(f"not a count of tokens: {str(told)[:80]!r}")
    return told


def countable(model: str, prompt: Prompt) -> Mapping[str, object]:
    """The body of a request to vLLM's `/tokenize`."""
    if isinstance(prompt, str):
        return {"model": model, "prompt": prompt}
    return {"model": model, "messages": _chat(prompt), **_going_on(prompt)}


def counted(answer: bytes, prompt: Prompt) -> int:
    """What `/tokenize` answered; an estimate where that is nothing of the kind."""
    try:
        return _count(json.loads(answer)["count"])
    except (ValueError, TypeError, KeyError):
        return estimate(prompt)


def estimate(prompt: Prompt) -> int:
    """Tokens of a prompt, for servers that do not count."""
    texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
    return sum(len(text) // _CHARS_PER_TOKEN + 8 for text in texts)


def _chat(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt if not isinstance(message, str)]


def _going_on(prompt: Prompt) -> dict[str, object]:
    last = prompt[-1]
    if isinstance(last, str) or last.role != "assistant":
        return {}
    return {"add_generation_prompt": False, "continue_final_message": True}


def _scored(choice: object) -> tuple[Scored, ...]:
    """A choice's tokens; the two kinds of chunks write them down in two ways."""
    told = getattr(choice, "logprobs", None)
    if told is None:
        return ()
    if hasattr(told, "top_logprobs"):
        places = zip(told.tokens or (), told.token_logprobs or (), told.top_logprobs or (), strict=False)
        return tuple(
            Scored(text, logprob, tuple(sorted(top.items(), key=lambda pair: -pair[1])))
            for text, logprob, top in places
            if logprob is not None  # the first token of an echoed prompt
        )
    return tuple(
        Scored(token.token, token.logprob, tuple((other.token, other.logprob) for other in token.top_logprobs))
        for token in told.content or ()
    )


@contextmanager
def translated(*, started: bool) -> Iterator[None]:
    """The client's errors as ours. `started` when part of the answer has arrived."""
    from openai import APIConnectionError, APIError, APIStatusError

    kind = Unavailable if started else Retry
    try:
        yield
    except APIStatusError as error:
        raise _refusal(error) from error
    except APIConnectionError as error:
        raise kind(f"The engine's server {'broke off the answer' if started else 'cannot be reached'}.") from error
    except (APIError, ValueError, TypeError, AttributeError) as error:  # an error event, or no chunk, in the stream
        raise kind("The engine's server failed while it answered.") from error


def _refusal(error: APIStatusError) -> BadInput | Unavailable:
    status = error.status_code
    if status in (401, 403):
        return Unavailable("The engine's server refuses the API key; set engine.api_key.")
    if status == 404:
        return Retry("The engine's server does not serve this model any more.")
    if status < 500 and status not in (408, 429):
        return BadInput("The engine's server refuses the request; it is probably too long for the model.")
    wait = error.response.headers.get("retry-after", "")
    return Retry("The engine's server is overloaded.", retry_after_s=float(wait) if wait.isdigit() else None)
