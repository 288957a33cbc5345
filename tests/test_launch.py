"""Start: what `python launch.py` does before and after a set-up."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch.py"


def copy_with_an_impossible_pin(folder: Path, *files: str) -> Path:
    for name in ("app", "requirements", "assets/profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(LAUNCH, folder)
    shutil.copy(ROOT / "requirements.txt", folder)
    for file in files or ("base.txt",):
        with (folder / "requirements" / file).open("a") as listed:
            listed.write("gradio==0.0.0 # not to be had\n")
    return folder / "launch.py"


def test_no_setup_never_installs(tmp_path: Path) -> None:
    launch = copy_with_an_impossible_pin(tmp_path)
    done = subprocess.run([sys.executable, launch, "serve", "--no-setup"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--no-setup" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("flags", [[], ["--no-setup"]])
def test_doctor_examines_a_machine_without_packages_and_installs_nothing(flags: list[str], tmp_path: Path) -> None:
    launch = copy_with_an_impossible_pin(tmp_path)
    command = [sys.executable, launch, "doctor", "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    found = {finding["what"]: finding for finding in json.loads(done.stdout.splitlines()[-1])["findings"]}
    assert {"Python", "GPU", "disk", "packages", "set-up"} <= set(found)
    assert found["packages"]["level"] == "problem"
    assert "python launch.py" in found["packages"]["fix"]
    assert not (tmp_path / ".venv").exists()


def test_the_profile_in_the_settings_file_decides_what_must_be_there(tmp_path: Path) -> None:
    launch = copy_with_an_impossible_pin(tmp_path, "cpu.txt", "../requirements.txt")
    (tmp_path / "colloquy.yaml").write_text("server:\n  port: 99999\nprofile: scripted  # no models here\n")
    done = subprocess.run(
        [sys.executable, launch, "--no-setup"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "99999" in done.stderr) == (2, True), done.stderr


def test_a_later_start_does_not_ask_the_driver_before_its_first_line(tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\n: > {tmp_path / 'asked'}\n")
    driver.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, LAUNCH, "serve", "--port", "99999"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:8]) == (2, "Colloquy")
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("arguments", [["test", "--no-setup"], ["--no-setup", "test"]])
def test_the_tests_install_no_browser_when_nothing_may_be_installed(arguments: list[str], tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\n: > {tmp_path / 'called'}\n")
    apt.chmod(0o755)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, LAUNCH, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "chromium" in done.stderr
    assert not (tmp_path / "called").exists()


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


def test_windows_is_told_where_the_program_runs_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import launch

    monkeypatch.setattr(sys, "platform", "win32")
    assert launch.main([]) == 1
    said = capsys.readouterr().err
    assert (said.count("\n"), "WSL 2" in said) == (1, True)


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
