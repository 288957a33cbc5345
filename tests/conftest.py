"""Shared by all tests: asyncio as the only event loop."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
