"""`check` and `test`, ended in the middle: nothing of what they started runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parent.parent
CHECKS = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from app.commands import checks
checks.TEARDOWN_S = 0.5
sys.exit(checks.run_in_group([sys.executable, "-c", sys.argv[1]]))
"""
STAGE = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, {on_interrupt})
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("on_interrupt", ["signal.default_int_handler", "signal.SIG_IGN"])
def test_what_a_stage_started_ends_with_the_command(number: signal.Signals, on_interrupt: str) -> None:
    stage = STAGE.format(on_interrupt=on_interrupt)
    command = [sys.executable, "-c", CHECKS, stage]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as checks:
        try:
            assert checks.stdout is not None
            grandchild = int(checks.stdout.readline())
            os.kill(checks.pid, number)
            checks.wait(60)
        finally:
            checks.kill()
    until = time.monotonic() + 60
    while alive(grandchild) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(grandchild)


def test_a_stage_that_ends_says_how() -> None:
    command = [sys.executable, "-c", CHECKS, "import sys; sys.exit(3)"]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == 3
