"""The pictures of the operators' page: from numbers to shapes, colours and words.

Invariant: as long as the server runs, somebody has the same colour in every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.backend.operations.service import Sample
from app.ui import i18n
from app.ui.i18n import Lang

GOLDEN_ANGLE = 137.508
REMEMBERED = 1000
WIDTH, HEIGHT = 600, 64
MIN_PEAK = 4
_SIZES = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Spark:
    """Two areas, one upon the other, as SVG paths in a box of WIDTH x HEIGHT; `peak` is the most of both at once."""

    running: str
    waiting: str
    peak: int


class Palette:
    """Gives everybody a colour, as an angle on the wheel; whoever comes next gets one far from those before."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}
        self._next = 0

    def __call__(self, owner: str) -> int:
        if owner not in self._given:
            if len(self._given) == REMEMBERED:
                del self._given[next(iter(self._given))]
            self._given[owner] = int(self._next * GOLDEN_ANGLE + 190) % 360
            self._next += 1
        return self._given[owner]


def spark(history: Sequence[Sample], now: float, span_s: float) -> Spark:
    """The last `span_s` seconds, the present at the right edge."""
    shown = [s for s in history if s.at > now - span_s]
    peak = max((s.running + s.waiting for s in shown), default=0)
    scale = (HEIGHT - 2) / max(peak, MIN_PEAK)

    def area(low: Sequence[int], high: Sequence[int]) -> str:
        if not shown:
            return ""
        xs = [WIDTH - (now - s.at) / span_s * WIDTH for s in shown]
        edge = [(x, HEIGHT - n * scale) for x, n in zip(xs, high, strict=True)]
        edge += [(x, HEIGHT - n * scale) for x, n in zip(reversed(xs), reversed(low), strict=True)]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in edge) + "Z"

    running = [s.running for s in shown]
    return Spark(area([0] * len(shown), running), area(running, [s.running + s.waiting for s in shown]), peak)


def who(owner: str, name: str, lang: Lang) -> str:
    """The name of an account, or a guest's number; the command line is neither."""
    if owner == "command-line":
        return i18n.text(lang, "admin.command_line")
    letters = [c for c in owner.removeprefix("guest-") if c.isalnum()]
    return name or i18n.text(lang, "admin.guest", id="".join(letters[:4]))


def size(count: float) -> str:
    """Bytes as people say them: 640 B, 12.1 MB."""
    step = 0
    while count >= 1000 and step < len(_SIZES) - 1:
        count, step = count / 1000, step + 1
    return f"{count:.0f} {_SIZES[step]}" if step == 0 or count >= 100 else f"{count:.1f} {_SIZES[step]}"


def age(seconds: float, lang: Lang) -> str:
    """How long ago, in the largest unit that says enough."""
    for unit, length, upto in (("s", 1, 120), ("min", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < upto:
            return i18n.text(lang, f"age.{unit}", n=int(seconds / length))
    return i18n.text(lang, "age.d", n=int(seconds / 86400))


def clock(seconds: float) -> str:
    """A running time: 0:07, 12:30."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
