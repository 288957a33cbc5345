"""In CI a skipped test is a failure: what was not tried is not known to work. Loaded by pyproject.toml."""

from __future__ import annotations

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter is not None else 0
    if skipped and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"CI=true: {skipped} skipped tests count as failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
