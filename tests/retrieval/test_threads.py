"""Idle threads sleep, in this process only."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.backend.retrieval.threads import threads_for

PROGRAM = """
import os
from app.backend.retrieval.threads import wait_passively
before = dict(os.environ)
wait_passively()
assert dict(os.environ) == before
import faiss, numpy
index = faiss.IndexFlatIP(4)
index.add(numpy.ones((8, 4), dtype="float32"))
index.search(numpy.ones((64, 4), dtype="float32"), 1)
"""


@pytest.mark.parametrize(("environment", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_openmp_sleeps_unless_told_otherwise_and_children_inherit_nothing(
    environment: dict[str, str], expected: str
) -> None:
    told = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**told, "OMP_DISPLAY_ENV": "true", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    policies = {line.split("=")[1].strip() for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line}
    assert policies == {f"'{expected}'"}


def test_where_the_system_keeps_no_list_of_cores_all_of_them_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert threads_for(64) == os.cpu_count()
