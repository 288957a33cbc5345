"""The only entry: `python launch.py [COMMAND] [OPTIONS]`.

Finds or makes an environment that has everything, hands over to `app.cli` there, and that is all.
Invariant: importing this file imports only the standard library and starts nothing, because every process that the
engine spawns imports it again; there it only sees to it that the child never outlives its parent.
"""

from __future__ import annotations

import sys

HELP = """\
Usage: launch.py [COMMAND] [OPTIONS]...

Colloquy: retrieval-augmented generation for many people at once. Without a command it serves the page.
Nothing is installed yet: the first command, other than this one and doctor, does that. Then COMMAND --help tells more.

Commands:
  serve      The page and the API (the default command).
  ingest     Documents into a corpus.
  ask        One question, answered on the terminal.
  methods    The methods, and the parameters of each.
  retrieval  Retrieval alone, for other servers and for trainers.
  score      Scores of given answers, without a model.
  backup     Everything kept, in one file.
  export     Votes and consented conversations, for research.
  user       Accounts: add, list, disable, enable; new passwords.
  doctor     What was found on this machine, and what to do about each problem.
  check      For developers: the checks.
  test       For developers: the tests.

With --no-setup, anywhere, nothing is ever installed.
"""


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  this line is for those who have an older one
        found = ".".join(map(str, sys.version_info[:2]))
        sys.stderr.write(f"Colloquy needs Python 3.11 or newer and this is {found}: start it with a newer one.\n")
        return 1
    if sys.platform == "win32":
        sys.stderr.write("Colloquy does not run on Windows itself: run `wsl --install` and start it inside WSL 2.\n")
        return 1
    import os
    import signal

    from app import findings, install

    rest = [argument for argument in arguments if argument != "--no-setup"]
    no_setup = len(rest) < len(arguments)
    dev = rest[:1] in (["check"], ["test"])
    profile = _profile(rest)
    try:
        python = install.ready_python(profile, dev=dev)
        if python is None and rest[:1] == ["--help"]:
            sys.stdout.write(HELP)
            return 0
        if python is None and rest[:1] == ["doctor"]:
            findings.show_before_set_up(profile, as_json="--json" in rest)
            return 1
        if python is None and no_setup:
            raise install.SetupError("Packages are missing; run the same command without --no-setup to install them.")
        if python is None:  # terminated is interrupted: the installer must not go on alone
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            install.say("Colloquy is not set up yet; looking what this machine can run.")
        ready = str(python or install.install(install.kind_for(profile), dev=dev))
    except install.SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nSet-up interrupted; the same command goes on from here.\n")
        return 130
    if python is None or ready != sys.executable:
        os.execv(ready, [ready, os.path.abspath(__file__), *arguments])
    from app import cli

    if no_setup and rest[:1] == ["test"]:
        rest.append("--no-setup")
    return cli.run(rest)


def _profile(arguments: list[str]) -> str | None:
    """The profile that is asked for, which decides what must be installed: read as `app.configuration` does."""
    import os
    import re
    from contextlib import suppress
    from pathlib import Path

    if profile := _value("--profile", arguments) or os.environ.get("COLLOQUY_PROFILE"):
        return profile
    with suppress(OSError, UnicodeDecodeError):  # the command says what is wrong with the file
        text = Path(_value("--config", arguments) or "colloquy.yaml").read_text(encoding="utf-8")
        if found := re.search(r"""^profile:\s*["']?([\w-]+)""", text, re.MULTILINE):
            return found[1]
    return None


def _value(flag: str, arguments: list[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
        if argument == flag:
            return "".join(arguments[position + 1 : position + 2])
    return ""


def _end_with_parent():  # type: () -> None  # noqa: ANN202
    """Follow the parent within a second when it dies, even by SIGKILL and while this process is still importing."""
    import multiprocessing
    import os
    import signal
    import time

    first = os.getppid()
    parent = None
    while os.getppid() == (first if parent is None else parent.pid):
        time.sleep(0.5)
        parent = multiprocessing.parent_process()  # None until what the parent sent is unpickled, which imports a lot
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

if __name__ == "__mp_main__":
    import logging
    import threading

    logging.getLogger("vllm").setLevel(logging.ERROR)  # what it says before it has read its own settings
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
