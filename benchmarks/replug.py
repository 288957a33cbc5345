"""What REPLUG misses by mixing only the 20 likeliest tokens of each passage, against whole distributions.

    python benchmarks/replug.py [--questions 10] [--tokens 16] [--topk 5] [--compat]

The pipeline itself runs, greedily, on the small model computed by transformers in float32 behind the engine's protocol;
at every token its mixture is set against the one over the whole vocabulary. `missed` is the probability that the
mixture lacks (the total variation distance, for `--compat` between the mixtures made to sum to 1), `same_token` how
often the likeliest token is the same one. Needs XQuAD in FlashRAG's formats in `--xquad`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.backend.events import Retrieved  # noqa: E402
from app.backend.pipelines.registry import create_registry  # noqa: E402
from app.backend.pipelines.replug import TOP, weights  # noqa: E402
from app.backend.protocols import Tools  # noqa: E402
from app.backend.types import Delta, Health, Prompt, Query, Sampling, Scored  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

CORPUS = "xquad"


@dataclass
class Whole:
    """Fits `protocols.Engine` for one token at a time, and keeps the log-probabilities of the whole vocabulary."""

    network: Any
    tokenizer: Any
    heard: list[Tensor] = field(default_factory=list)
    model: str = "whole"
    context_tokens: int = 2048

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    def health(self) -> Health:
        return Health("ready")

    async def count_tokens(self, prompt: Prompt) -> int:
        return len(self._ids(prompt))

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        logs = await asyncio.to_thread(self._logs, self._ids(prompt))
        self.heard.append(logs)
        top = [(self.tokenizer.decode([at]), float(logs[at])) for at in logs.topk(TOP).indices.tolist()]
        yield Delta(top[0][0], "length", tokens=(Scored(*top[0], tuple(top)),))

    def _ids(self, prompt: Prompt) -> list[int]:
        chat = [
            {"role": message.role, "content": message.content} for message in prompt if not isinstance(message, str)
        ]
        going_on = chat[-1]["role"] == "assistant"
        ids: list[int] = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=not going_on, continue_final_message=going_on, return_dict=False
        )
        return ids

    def _logs(self, ids: Sequence[int]) -> Tensor:
        import torch

        with torch.inference_mode():
            return torch.log_softmax(self.network(torch.tensor([ids])).logits[0, -1], -1)


def compare(logs: Sequence[Tensor], shares: Sequence[float], compat: bool) -> tuple[float, bool]:
    """How far the mixture of the likeliest tokens is from the whole one, and whether both have the same likeliest."""
    import torch

    whole, part = torch.stack(list(logs)), torch.stack(list(logs))
    last = part.topk(TOP, -1).values[:, -1:]
    told = part >= last
    say = torch.tensor(shares)[:, None]
    if compat:
        exact = (say * whole).sum(0).softmax(-1)
        mixed = (say * torch.where(told, part, last)).sum(0)
        mixed = torch.where(told.any(0), mixed, -torch.inf).softmax(-1)
    else:
        exact, mixed = (say * whole.exp()).sum(0), (say * torch.where(told, part.exp(), 0.0)).sum(0)
    missed = float((exact - mixed).clamp(min=0).sum())
    return missed, int(exact.argmax()) == int(mixed.argmax())


async def main(options: argparse.Namespace) -> int:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from app.backend.engines.models import resolve_model
    from app.backend.retrieval import create_retriever
    from app.backend.retrieval.ingest import ingest
    from app.configuration import load

    settings = load({"data": str(options.data or tempfile.mkdtemp())}, profile="cpu")
    await asyncio.to_thread(ingest, settings, CORPUS, [options.xquad / "xquad-en-dev.corpus.jsonl"])
    lines = (options.xquad / "xquad-en-dev.questions.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines[:: max(1, len(lines) // options.questions)]]
    folder = resolve_model(settings.engine.model, settings.data / "models", lambda _: None)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    engine = Whole(network, AutoTokenizer.from_pretrained(folder))
    retriever, registry = create_retriever(settings), create_registry(settings)
    await retriever.start()
    while retriever.health().state == "starting":
        await asyncio.sleep(0.5)
    params = registry.validate(
        "replug", {"max_tokens": options.tokens, "retrieval_topk": options.topk, "compat": options.compat}
    )
    missed, same = list[float](), list[bool]()
    for number, question in enumerate(questions[: options.questions]):
        engine.heard.clear()
        shares = [1.0]
        async for event in registry.run("replug", Query(question, CORPUS, (), params), Tools(engine, retriever, "b")):
            if isinstance(event, Retrieved):
                shares = weights([passage.score for passage in event.passages], options.compat)
        for at in range(0, len(engine.heard) - len(shares) + 1, len(shares)):
            step = compare(engine.heard[at : at + len(shares)], shares, options.compat)
            missed.append(step[0])
            same.append(step[1])
        print(json.dumps({"question": number, "tokens": len(missed), "missed": statistics.fmean(missed)}), flush=True)
    await retriever.aclose()
    result = {
        "benchmark": "replug",
        "compat": options.compat,
        "passages": options.topk,
        "tokens": len(missed),
        "missed_mean": round(statistics.fmean(missed), 4),
        "missed_p95": round(statistics.quantiles(missed, n=20)[-1], 4),
        "missed_max": round(max(missed), 4),
        "same_token": round(statistics.fmean(same), 4),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--topk", type=int, default=5)
    parser.add_argument("--compat", action="store_true")
    parser.add_argument("--xquad", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path)
    sys.exit(asyncio.run(main(parser.parse_args())))
