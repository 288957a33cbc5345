"""The picture that stands for a share link where it is posted: drawn here, of the words alone.

Invariant: nothing is fetched and no text can be more than ink; letters for which this machine has no font are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    Font = FreeTypeFont

WIDTH, HEIGHT, MARGIN = 1200, 630, 84
PAPER, INK, SOFT, ACCENT, LINE = "#faf9f6", "#201e1a", "#57534a", "#0b6e63", "#e2dfd6"
_LATIN = ("NotoSerif-Regular.ttf", "LiberationSerif-Regular.ttf", "DejaVuSerif.ttf", "Georgia.ttf", "georgia.ttf")
_HAN = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "PingFang.ttc",
    "msyh.ttc",
)
_WIDE = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_IS_HAN = re.compile(f"[{_WIDE}]")
_IN_NO_FONT = "\U0010ffff"
_PIECE = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]{{1,12}}|\s+")


@lru_cache(maxsize=64)
def picture(kicker: str, title: str, excerpt: str, foot: str) -> bytes:
    """A PNG of 1200 x 630, the size that is asked for everywhere."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 14, HEIGHT), fill=ACCENT)
    _mark(draw, MARGIN, 74)
    words = f"{title}{excerpt}{foot}"
    draw.text((MARGIN + 62, 105), "Colloquy", font=_font("", 38), fill=INK, anchor="ls")
    kind = _font(kicker, 28)
    draw.text((WIDTH - MARGIN, 105), _legible(kicker, kind), font=kind, fill=SOFT, anchor="rs")
    size = 68 if len(title) <= 60 else 54
    at = _paragraph(draw, title, 170, _font(words, size), INK, lines=3, leading=1.22)
    room = 2 if at > 360 else 3
    _paragraph(draw, excerpt, at + 26, _font(words, 33), SOFT, lines=room, leading=1.42)
    draw.line((MARGIN, HEIGHT - 104, WIDTH - MARGIN, HEIGHT - 104), fill=LINE, width=2)
    _paragraph(draw, foot, HEIGHT - 80, _font(words, 28), SOFT, lines=1, leading=1.3)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _mark(draw: ImageDraw, x: int, y: int) -> None:
    """The sign of the program: a speech bubble with a quotation."""
    bubble = [(0, 0), (44, 0), (44, 30), (20, 30), (8, 40), (8, 30), (0, 30), (0, 0)]
    draw.line([(x + dx, y + dy) for dx, dy in bubble], fill=ACCENT, width=4, joint="curve")
    for left in (x + 11, x + 25):
        draw.rectangle((left, y + 8, left + 8, y + 16), fill=ACCENT)
        draw.polygon([(left + 8, y + 16), (left + 8, y + 17), (left + 1, y + 23), (left + 4, y + 16)], fill=ACCENT)


def _paragraph(draw: ImageDraw, text: str, top: float, font: Font, colour: str, *, lines: int, leading: float) -> float:
    """Write `text` in at most so many lines; returns where it ends."""
    for line in wrapped(_legible(text, font), lambda part: draw.textlength(part, font=font), WIDTH - 2 * MARGIN, lines):
        draw.text((MARGIN, top), line, font=font, fill=colour)
        top += font.size * leading
    return top


def _legible(text: str, font: Font) -> str:
    """`text` without the letters that the font lacks: it would draw the same box for each."""
    box = _ink(font, _IN_NO_FONT)
    kept = {letter for letter in set(text) if letter.isspace() or _ink(font, letter) != box}
    return "".join(letter for letter in text if letter in kept)


def _ink(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def wrapped(text: str, length_of: Callable[[str], float], room: float, lines: int) -> list[str]:
    """`text` in lines that fit; what does not is cut off, with a mark."""
    found: list[str] = []
    line = ""
    for piece in _PIECE.findall(" ".join(text.split())):
        if length_of((line + piece).rstrip()) <= room:
            line += piece
        elif len(found) == lines - 1:
            return [*found, _cut(line, length_of, room)]
        else:
            found.append(line.rstrip())
            line = piece.lstrip()
    return [*found, line.rstrip()]


def _cut(line: str, length_of: Callable[[str], float], room: float) -> str:
    line = line.rstrip()
    while line and length_of(line + "…") > room:
        line = line[:-1].rstrip()
    return line + "…"


@lru_cache(maxsize=16)
def _face(han: bool, size: int) -> Font | None:
    from PIL import ImageFont

    for name in _HAN if han else _LATIN:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def _font(words: str, size: int) -> Font:
    from PIL import ImageFont

    face = (_face(True, size) if _IS_HAN.search(words) else None) or _face(False, size)
    return face or ImageFont.load_default(size)  # type: ignore[return-value]
