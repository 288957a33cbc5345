"""How soon a start answers: seconds to the first line, the port, the usable page and all parts, and the time to the
page as a ratio to that of a bare `import gradio`.

Starts alternate with bare imports, because the machine may be busy with something else; medians over the rounds. The
first start of all only warms the disk's cache. A start is mostly computing, so the ratio of processor time is told too:
it holds on a machine that is too busy for the clock.

Run: python benchmarks/startup.py [--rounds 3] [--profile scripted] [--ready] [--json]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crowd import report

ROOT = Path(__file__).resolve().parent.parent
POLL_S = 0.02
FIRST_LINE_S = 1.0
PORT_S = 2.0
PAGE_RATIO = 1.5


def bare_import() -> tuple[float, float]:
    """Seconds that a new process needs for `import gradio`, by the clock and of the processor."""
    began = time.monotonic()
    timed = "import gradio, time; print(time.process_time())"
    process = subprocess.run([sys.executable, "-c", timed], check=True, stdout=subprocess.PIPE, text=True)
    return time.monotonic() - began, float(process.stdout)


def processor_s(pid: int) -> float:
    """Seconds of the processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_start(profile: str, data: Path, *, until_ready: bool) -> dict[str, float]:
    """Start the server, time what can be seen of it from outside, and stop it."""
    command = [sys.executable, "launch.py", "serve", "--no-setup", "--profile", profile, "--port", "0"]
    began = time.monotonic()
    seen: dict[str, float] = {}
    process = subprocess.Popen([*command, "--data", str(data)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            seen.setdefault("first_line_s", time.monotonic() - began)
            if found := re.search(r"http://\S+", line):
                url = found.group()
                break
        if not url:
            raise SystemExit("the server did not start; its messages are above")
        fetch(f"{url}/healthz")
        seen["port_s"] = time.monotonic() - began
        while b"gradio_config" not in fetch(url):
            time.sleep(POLL_S)
        seen["page_s"] = time.monotonic() - began
        seen["page_processor_s"] = processor_s(process.pid)
        while until_ready and not is_ready(url):
            time.sleep(POLL_S)
        if until_ready:
            seen["ready_s"] = time.monotonic() - began
    finally:
        process.terminate()
        process.communicate(timeout=120)
    return seen


def fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=60) as response:
        body: bytes = response.read()
        return body


def is_ready(url: str) -> bool:
    try:
        fetch(f"{url}/readyz")
    except urllib.error.HTTPError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", default="scripted")
    parser.add_argument("--ready", action="store_true", help="also wait for engine and retriever")
    parser.add_argument("--json", action="store_true", help="one line, for programs")
    options = parser.parse_args()
    bare, starts = [], []
    with tempfile.TemporaryDirectory() as folder:
        bare_import()
        one_start(options.profile, Path(folder), until_ready=options.ready)
        for _ in range(options.rounds):
            bare.append(bare_import())
            starts.append(one_start(options.profile, Path(folder), until_ready=options.ready))
    import_s = statistics.median(clock for clock, _ in bare)
    import_processor_s = statistics.median(processor for _, processor in bare)
    medians = {name: statistics.median(start[name] for start in starts) for name in starts[0]}
    result = {
        "profile": options.profile,
        "rounds": options.rounds,
        "import_gradio_s": round(import_s, 2),
        "import_gradio_processor_s": round(import_processor_s, 2),
        **{name: round(seconds, 2) for name, seconds in medians.items()},
        "page_over_import_gradio": round(medians["page_s"] / import_s, 2),
        "page_over_import_gradio_processor": round(medians["page_processor_s"] / import_processor_s, 2),
        "port_over_import_gradio": round(medians["port_s"] / import_s, 2),
    }
    return report("startup", targets(result), result, options)


def targets(result: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "first_line": result["first_line_s"] <= FIRST_LINE_S,
        "port": result["port_s"] <= PORT_S,
        "page": result["page_over_import_gradio"] <= PAGE_RATIO,
    }


if __name__ == "__main__":
    sys.exit(main())
