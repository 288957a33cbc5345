"""Moments in pages of our own: written in UTC here, in the reader's time zone by the page's script.

Invariant: pure; without a script the moment can still be read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from markupsafe import Markup


def when(at: float, style: Literal["time", "both", "day"] = "both") -> Markup:
    iso = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    shown = iso[:10] if style == "day" else f"{iso[:16].replace('T', ' ')} UTC"
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(iso, style, shown)
