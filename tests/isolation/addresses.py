"""What the walk expects of every address and of every call of the page: a new one is added here, or the walk fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

Kind = Literal["public", "anybody's", "members'", "own", "operators'"]

OPEN: Mapping[str, Kind] = {
    "/healthz": "public",
    "/readyz": "public",
    "/theme.css": "public",
    "/assets/{path:path}": "public",
    "/static/{path:path}": "public",
    "/ui/static/{name}": "public",
    "/login": "public",
    "/logout": "public",
    "/join": "public",
    "/": "anybody's",
    "/compare": "anybody's",
    "/ui/compare": "anybody's",
    "/gradio_api/component_server/": "anybody's",
    "/leaderboard": "anybody's",
    "/ui/leaderboard/battles": "anybody's",
    "/ui/leaderboard/board": "anybody's",
    "/api/leaderboard": "anybody's",
    "/api/conversations": "anybody's",
    "/api/corpora": "anybody's",
    "/api/pipelines": "anybody's",
    "/retrieve": "anybody's",
    "/v1/embeddings": "anybody's",
    "/v1/rerank": "anybody's",
    "/v1/retrieve": "anybody's",
    "/account": "members'",
    "/account/keys": "members'",
    "/account/keys/{key_id}/revoke": "members'",
    "/account/password": "members'",
    "/account/sessions/end": "members'",
    "/api/conversations/{conversation_id}": "own",
    "/api/conversations/{conversation_id}/ask": "own",
    "/api/conversations/{conversation_id}/branch": "own",
    "/api/conversations/{conversation_id}/export": "own",
    "/api/conversations/{conversation_id}/restore": "own",
    "/api/generations/{generation_id}": "own",
    "/api/generations/{generation_id}/choose": "own",
    "/api/generations/{generation_id}/events": "own",
    "/api/generations/{generation_id}/regenerate": "own",
    "/api/generations/{generation_id}/stop": "own",
    "/ui/generations/{generation_id}/live": "own",
    "/api/compare": "anybody's",
    "/api/comparisons": "anybody's",
    "/api/comparisons/{comparison_id}": "own",
    "/api/comparisons/{comparison_id}/columns/{letter}/again": "own",
    "/api/comparisons/{comparison_id}/export": "own",
    "/api/comparisons/{comparison_id}/vote": "own",
    "/metrics": "operators'",
    "/api/openapi.json": "anybody's",
    "/admin": "operators'",
    "/ui/admin/{part}": "operators'",
    "/api/admin/audit": "operators'",
    "/api/admin/backups": "operators'",
    "/api/admin/conversations": "operators'",
    "/api/admin/conversations/{conversation_id}": "operators'",
    "/api/admin/drain": "operators'",
    "/api/admin/generations/{generation_id}/stop": "operators'",
    "/api/admin/now": "operators'",
    "/api/admin/people": "operators'",
    "/api/admin/people/{owner}/out": "operators'",
    "/api/admin/people/{owner}/quota": "operators'",
    "/api/admin/storage": "operators'",
}
NOT_BY_THE_ALLOWED = {"/account/password", "/account/sessions/end", "/logout"}  # it would end the walker's session
NOT_BY_THE_ALLOWED |= {"/account/keys/{key_id}/revoke"}  # whose key it is: tests/api/test_credentials.py
FILES = {
    "/assets/{path:path}",
    "/static/{path:path}",
}  # of the page, the same for everybody; which there are is Gradio's
BODIES: Mapping[str, object] = {
    "ask": {"question": "Mine?", "pipeline": "direct"},
    "branch": {"turn_id": "the turn"},
    "compare": {"question": "Which?", "sides": [{"pipeline": "direct"}, {"pipeline": "naive"}]},
    "vote": {"winner": "tie"},
    "PATCH": {"pinned": True},
}

ACTIONS: Mapping[str, Callable[[Mapping[str, str]], dict[str, object]]] = {
    "open": lambda ids: {"c": ids["conversation_id"]},
    "list": lambda ids: {},
    "engine": lambda ids: {},
    "ask": lambda ids: {"c": ids["conversation_id"], "text": "Mine?", "pipeline": "direct"},
    "again": lambda ids: {"g": ids["generation_id"]},
    "trace": lambda ids: {"g": ids["generation_id"]},
    "tune": lambda ids: {"pipeline": "direct"},
    "stop": lambda ids: {"g": ids["generation_id"]},
    "choose": lambda ids: {"g": ids["generation_id"], "c": ids["conversation_id"]},
    "branch": lambda ids: {"c": ids["conversation_id"], "t": ids["turn_id"]},
    "rename": lambda ids: {"t": ids["conversation_id"], "text": "Taken"},
    "pin": lambda ids: {"t": ids["conversation_id"], "pinned": True},
    "delete": lambda ids: {"t": ids["conversation_id"]},
    "restore": lambda ids: {"t": ids["conversation_id"]},
}
"""What each call of the page does to the thing with these ids."""
