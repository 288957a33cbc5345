"""The line of HTML with which another site shows a demo or a shared page in a frame.

Invariant: whatever the title is, the line is one element with nothing in it.
"""

from __future__ import annotations

from markupsafe import escape

_LOOK = 'width="100%" height="640" style="border:0"'


def frame_line(url: str, title: str) -> str:
    """To be copied into the other site's page; the server must allow that site (`server.embed_origins`)."""
    return f'<iframe src="{escape(url)}?embed=1" title="{escape(title)}" {_LOOK}></iframe>'
