"""How the cost of drawing hostile Markdown grows: processor time of four times the text over that of the text.

About 4 is linear, 16 would be quadratic. Run: python benchmarks/markup.py [--chars 10000]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.ui import markup

PIECES = (
    "\\(a ",
    "\\[\na\n\n",
    "\\[a\n# h\n",
    "$$x\n\n",
    "- \\[a\n",
    "|a|\n|-|\n# h\n",
    "**a ",
    "[a](",
    "> ",
    "plain text ",
)


def cost(text: str) -> float:
    begun = time.process_time()
    markup.draft(text, (), "en")
    return time.process_time() - begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chars", type=int, default=10_000)
    chars = parser.parse_args().chars
    growth = {}
    for piece in PIECES:
        count = chars // len(piece)
        once, four = (min(cost(piece * n) for _ in range(3)) for n in (count, 4 * count))
        growth[piece] = round(four / once, 1)
    print(json.dumps({"benchmark": "markup", "chars": chars, "growth_at_4x": growth}, indent=2))
