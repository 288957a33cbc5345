"""Which of the demo questions this machine's model gets right: the ground for what the page offers as examples.

Every question of `assets/demo/questions.jsonl` is asked once, on its own, through the backend. Right is an answer that
contains one of the golden answers, whatever the case, spaces and punctuation. Greedy, so a second run says the same.

Run: python benchmarks/examples.py [--json] [--profile cpu] [--data DIR] [--streams 16] [--all]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.backend.service import Backend, Question  # noqa: E402


def plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


async def answer(backend: Backend, owner: str, question: str) -> str:
    conversation = await backend.create_conversation(owner)
    ticket = await backend.ask(owner, conversation.id, Question(question))
    async for _ in backend.events(owner, ticket.generation_id):
        pass
    return (await backend.generation(owner, ticket.generation_id)).answer


async def main(options: argparse.Namespace) -> dict[str, object]:
    from app.backend import create_backend
    from app.configuration import load

    flags = {"data": str(options.data or tempfile.mkdtemp()), "generation": {"grace_s": 3600}}
    backend = create_backend(load(flags, profile=options.profile))
    lines = (ROOT / "assets/demo/questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    slots = asyncio.Semaphore(options.streams)

    async def one(question: dict) -> dict[str, object]:  # type: ignore[type-arg]
        async with slots:
            said = await answer(backend, f"guest-{question['id']}", question["question"])
        right = any(plain(golden) in plain(said) for golden in question["golden_answers"])
        meta = question["metadata"]
        return {"id": question["id"], "right": right, "shown": bool(meta.get("example")), "lang": meta["lang"]} | (
            {"question": question["question"], "answer": said}
            if options.all or (meta.get("example") and not right)
            else {}
        )

    await backend.open()
    try:
        await backend.start()
        while {backend.engine_health().state, backend.retriever_health().state} != {"ready"}:
            await asyncio.sleep(0.2)
        results = await asyncio.gather(*map(one, questions))
    finally:
        await backend.aclose()
    by_language = defaultdict(list)
    for result in results:
        by_language[result["lang"]].append(result)
    return {
        "benchmark": "examples",
        "model": backend.engine_model(),
        "right": {
            lang: round(sum(map(bool, (r["right"] for r in found))) / len(found), 3)
            for lang, found in by_language.items()
        },
        "right_ids": {lang: [r["id"] for r in found if r["right"]] for lang, found in by_language.items()},
        "shown_but_wrong": [r for r in results if r["shown"] and not r["right"]],
        **({"answers": results} if options.all else {}),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--all", action="store_true", help="print every answer")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(main(arguments)), ensure_ascii=False, indent=None if arguments.json else 2))
