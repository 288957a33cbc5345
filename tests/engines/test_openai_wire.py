"""How prompts and answers look on the wire to a vLLM server, through OpenAI's own client and a recorded answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

import httpx
import pytest
from openai import AsyncOpenAI

from app.backend.engines import openai_wire as wire
from app.backend.types import Message, Prompt, Sampling, Scored

pytestmark = pytest.mark.anyio

ASK = (Message("user", "Is a lighthouse a tower?"),)


class Server:
    """Answers every request with the same chunks and keeps what it was asked."""

    def __init__(self, *chunks: dict[str, object]) -> None:
        self.path = ""
        self.body: dict[str, object] = {}
        self._chunks = chunks

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.path, self.body = request.url.path, json.loads(request.content)
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in self._chunks]
        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, text="".join([*lines, "data: [DONE]\n\n"]))

    async def parts(self, prompt: Prompt, sampling: Sampling) -> Sequence[wire.Part]:
        transport = httpx.AsyncClient(transport=httpx.MockTransport(self))
        async with AsyncOpenAI(api_key="k", base_url="http://server/v1", http_client=transport) as client:
            chunks = await wire.ask(client, "tiny", prompt, sampling, "r1", None)
            return [part async for chunk in chunks for part in wire.parts(chunk)]


def chat_chunk(**choice: object) -> dict[str, object]:
    return {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, **choice}]}


async def test_a_chat_that_ends_with_the_assistant_is_gone_on_with() -> None:
    server = Server(chat_chunk(finish_reason="stop"))
    await server.parts((*ASK, Message("assistant", "Yes, because")), Sampling(5))
    assert server.path == "/v1/chat/completions"
    assert (server.body["add_generation_prompt"], server.body["continue_final_message"]) == (False, True)
    await server.parts(ASK, Sampling(5))
    assert "continue_final_message" not in server.body


async def test_a_prompt_without_roles_is_a_completion() -> None:
    top = [{" yes": -0.1, " no": -2.4}]
    told = {"tokens": [" yes"], "token_logprobs": [-0.1], "top_logprobs": top, "text_offset": [0]}
    choice = {"index": 0, "text": " yes", "logprobs": told, "finish_reason": "stop", "stop_reason": "\n"}
    server = Server({"id": "c", "object": "text_completion", "choices": [choice]})
    parts = await server.parts("Q: is it?\nA:", Sampling(5, logprobs=2, special_tokens=True, stop=("\n",)))
    assert parts == [wire.Part(" yes", (Scored(" yes", -0.1, ((" yes", -0.1), (" no", -2.4))),), "stop", "\n")]
    assert server.path == "/v1/completions"
    assert server.body["prompt"] == "Q: is it?\nA:"
    assert (server.body["logprobs"], server.body["skip_special_tokens"]) == (2, False)


async def test_an_echoed_prompt_comes_with_its_probabilities_and_nothing_is_written() -> None:
    told = {"tokens": ["one", " two"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {" two": -0.5}]}
    choice = {"index": 0, "text": "one two", "logprobs": told, "finish_reason": "length"}
    server = Server({"id": "c", "object": "text_completion", "choices": [choice]})
    (part,) = await server.parts("one two", Sampling(1, echo=True))
    assert part.tokens == (Scored(" two", -0.5, ((" two", -0.5),)),)
    assert (server.body["echo"], server.body["max_tokens"], server.body["logprobs"]) == (True, 0, 0)


async def test_a_chat_tells_probabilities_too() -> None:
    alternatives = [{"token": " yes", "logprob": -0.1}, {"token": " no", "logprob": -2.4}]
    told = {"content": [{"token": " yes", "logprob": -0.1, "top_logprobs": alternatives}]}
    server = Server(chat_chunk(delta={"content": " yes"}, logprobs=told))
    (part,) = await server.parts(ASK, Sampling(5, logprobs=2))
    assert part.tokens == (Scored(" yes", -0.1, ((" yes", -0.1), (" no", -2.4))),)
    assert (server.body["logprobs"], server.body["top_logprobs"]) == (True, 2)


async def test_without_probabilities_none_are_asked_for() -> None:
    server = Server(chat_chunk(delta={"content": "x"}))
    (part,) = await server.parts(ASK, Sampling(5))
    assert part == wire.Part("x", (), None, None)
    assert not {"logprobs", "top_logprobs", "skip_special_tokens", "echo"} & {
        k for k, v in server.body.items() if v is not None
    }


@pytest.mark.parametrize("answer", [b"<html>\xff", b"[]", b"{}", b'{"count": "x"}', b'{"count": -1}', b'"count"'])
def test_what_is_no_count_of_tokens_is_estimated(answer: bytes) -> None:
    assert wire.counted(answer, ASK) == wire.estimate(ASK)
    assert wire.counted(b'{"count": 7}', ASK) == 7
