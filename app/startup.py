"""What must hold before the server runs: nobody let in by accident, a data folder of its own and a port.

Invariant: each failure is one sentence that says how to mend it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from app.backend.accounts import membership
from app.backend.errors import BadInput, StoreError, Unavailable
from app.backend.storage.private import make_folder
from app.settings import ServerSettings, Settings, is_loopback

MIN_FREE_BYTES = 64 * 1024 * 1024
_BACKLOG = 2048
_EVERYWHERE = ("0.0.0.0", "::")
READER_PATIENCE_S = 30.0
"""A connection whose other end takes nothing for so long is cut: it would keep its stream, and its answer, for ever."""


def check_doors(settings: Settings) -> None:
    """Refuse to let strangers in by accident, and to wait for accounts that nobody can make."""
    server = settings.server
    if server.mode == "accounts":
        if not membership.has_admin(settings.data / "colloquy.db"):
            sentence = "There is no admin yet; make one with `python launch.py user add NAME --admin` (same --data)."
            raise BadInput(sentence)
    elif server.share and not server.allow_guests:
        raise BadInput(
            "With --share anybody on the internet could use this server; make an account with `python launch.py user "
            "add NAME --admin` and serve with --accounts too (demos stay open to whoever has their link, under their "
            "quotas), or let guests in under tight quotas with --allow-guests."
        )
    elif not server.local and not server.allow_guests:
        raise BadInput(
            f"{_reached(server)} anybody could use this server; make an account with `python launch.py user add NAME "
            "--admin` and serve with --accounts, or let guests in with --allow-guests."
        )


def check_service(server: ServerSettings) -> None:
    """Refuse to serve retrieval, which has no accounts, to strangers by accident."""
    if not server.local and not server.allow_guests:
        raise BadInput(f"{_reached(server)} anybody could search here; add --allow-guests if that is meant.")


def _reached(server: ServerSettings) -> str:
    return f"At {server.host}" if not is_loopback(server.host) else f"As {server.hosts[0]}"


@dataclass(frozen=True, slots=True)
class Running:
    """The server that holds a data folder. `elsewhere` is its address on other machines, where it has one."""

    pid: int
    url: str
    since: float
    elsewhere: str = ""


def running(data: Path) -> Running | None:
    """The server that holds the data folder and answers, if there is one."""
    try:
        with (data / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Running(**json.load(lock))
    except (OSError, ValueError, TypeError):  # no folder yet, or it is held by what does not serve
        pass
    return None


@contextmanager
def claimed(data: Path) -> Iterator[Callable[[str, str], None]]:
    """Hold the data folder: it exists, can be written to, has room, and no other server uses it.

    A server that answers gives its addresses to the function it gets, and `running` finds it.
    """
    try:
        make_folder(data)
        with tempfile.TemporaryFile(dir=data):
            pass
        lock = (data / "lock").open("a")
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"The data folder {data} is (below) a file; choose another with --data DIR.") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"The data folder {data} cannot be written to ({reason}); choose another with --data DIR."
        raise StoreError(message) from error
    with lock:
        free = shutil.disk_usage(data).free
        if free < MIN_FREE_BYTES:
            raise StoreError(f"The disk of the data folder {data} has {free >> 20} MiB left; free some.")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(f"Another Colloquy uses the data folder {data}; stop it, or use --data DIR.") from error
        lock.truncate(0)

        def answers_at(url: str, elsewhere: str) -> None:
            lock.write(json.dumps(asdict(Running(os.getpid(), url, time.time(), elsewhere))))
            lock.flush()

        yield answers_at


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free. Its connections end when nobody reads them any more."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((place[0], port), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise BadInput(f"The host {host!r} is not known; use an address, like --host 127.0.0.1.") from error
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                reason, fix = "is in use", "stop what uses it, or choose another with --port N (0: any free one)"
            case errno.EACCES:
                reason, fix = "needs more rights", "choose one above 1023 with --port N"
            case errno.EADDRNOTAVAIL:
                reason, fix = "is not an address of this machine", "choose one with --host"
            case _:
                reason, fix = f"cannot be opened ({error.strerror})", "choose another with --host or --port"
        raise Unavailable(f"Port {port} on {host} {reason}; {fix}.") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # the kernel's own, which connections inherit; Linux has it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * READER_PATIENCE_S))
    return listener


def address(listener: socket.socket) -> str:
    """Where a browser on this machine finds the server."""
    host, port = listener.getsockname()[:2]
    return _url("127.0.0.1" if host in _EVERYWHERE else host, port)


def elsewhere(server: ServerSettings, port: int) -> str:
    """Where other machines find the server; empty when they cannot. A server on loopback has a proxy with HTTPS."""
    if is_loopback(server.host):
        return f"https://{server.hosts[0]}" if server.hosts else ""
    host = server.hosts[0] if server.hosts else server.host
    if host not in _EVERYWHERE:
        return _url(host, port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but says from which address it would
        except OSError:
            return ""
        return _url(probe.getsockname()[0], port)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
