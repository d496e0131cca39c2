"""A container engine for as long as a command runs: ``python3 tests/images/daemon.py COMMAND …``, with the standard library alone.

An engine that answers is used as it is. Where none does, ``docker.io`` is installed from Debian (as root), ``dockerd`` started, and stopped
again when the command ends, however it ends. There is never a second one beside a running one. The exit status is the command's.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SOCKET = "/var/run/docker.sock"
PID_FILE = "/var/run/docker.pid"
LOG = "/var/log/dockerd-of-tests.log"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
POLL_S = 0.1
PACKAGES = ("docker.io", "iptables")


class DaemonError(Exception):
    """There is no engine and there will be none; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where an engine is looked for and started. ``dockerd`` is the start of its command line."""

    socket: str = SOCKET
    pid_file: str = PID_FILE
    log: str = LOG
    dockerd: tuple[str, ...] = ("dockerd",)
    may_install: bool = True


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(place: Place, path: str) -> bytes | None:
    """The engine's answer to ``GET path``, None when it gives none."""
    connection = _Connection(place.socket)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.read() if reply.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def describe(place: Place) -> str:
    """Version, storage driver, cgroup version and directory of the engine that answers."""
    info: dict[str, Any] = json.loads(ask(place, "/info") or b"{}")
    names = {"ServerVersion": "version", "Driver": "storage driver", "CgroupVersion": "cgroup version", "DockerRootDir": "directory"}
    return ", ".join(f"{said} {info.get(name, 'unknown')}" for name, said in names.items())


def running_pid(place: Place) -> int | None:
    """The process that the pid file names, when it lives."""
    try:
        pid = int(Path(place.pid_file).read_text(encoding="ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


@contextlib.contextmanager
def engine(place: Place, say: Callable[[str], None] = print) -> Iterator[None]:
    """An engine that answers, for the time of the block.

    :raises DaemonError: when there is none and none can be started; the end of its log is in the message.
    """
    began = time.monotonic()
    if os.environ.get("DOCKER_HOST", f"unix://{place.socket}") != f"unix://{place.socket}":
        say(f"container engine: the one that DOCKER_HOST names, {os.environ['DOCKER_HOST']}")
        yield
        return
    if _there_already(place):
        say(f"container engine: one is running ({describe(place)})")
        yield
        return
    if shutil.which(place.dockerd[0]) is None:
        _install(place, say)
        # Where a service manager runs, the package's installation has started it.
        if _there_already(place):
            say(f"container engine: started by its package after {time.monotonic() - began:.1f} s ({describe(place)})")
            yield
            return
    with _started(place):
        say(f"container engine: started after {time.monotonic() - began:.1f} s ({describe(place)})")
        yield
    say("container engine: stopped")


def _there_already(place: Place) -> bool:
    """Whether one answers; one that is starting is waited for."""
    if ask(place, "/_ping") is not None:
        return True
    if (pid := running_pid(place)) is None:
        return False
    deadline = time.monotonic() + START_DEADLINE_S
    while running_pid(place) == pid and time.monotonic() < deadline:
        if ask(place, "/_ping") is not None:
            return True
        time.sleep(POLL_S)
    if running_pid(place) == pid:
        msg = (
            f"process {pid}, which {place.pid_file} names, runs and does not answer at {place.socket}, and a second engine beside it would "
            f"break both: end it, or remove the file when that process is no engine"
        )
        raise DaemonError(msg)
    return False


def _install(place: Place, say: Callable[[str], None]) -> None:
    if not place.may_install or shutil.which("apt-get") is None or os.geteuid() != 0:
        msg = f"{place.dockerd[0]} is not installed, and this user cannot install {' and '.join(PACKAGES)} with apt-get"
        raise DaemonError(msg)
    say(f"container engine: installing {' and '.join(PACKAGES)}")
    said = ""
    # A source of packages that cannot be reached is no matter while another one has these.
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-q", *words],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        said += done.stdout
    if done.returncode != 0:
        msg = f"apt-get could not install {' and '.join(PACKAGES)}:\n{said[-2000:]}"
        raise DaemonError(msg)


@contextlib.contextmanager
def _started(place: Place) -> Iterator[None]:
    """One that we start: in a session of its own, so that an interrupt from the keyboard reaches the command and not its engine."""
    with Path(place.log).open("wb") as log:
        process = subprocess.Popen(
            [*place.dockerd, "--host", f"unix://{place.socket}", "--pidfile", place.pid_file],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while ask(place, "/_ping") is None:
            if process.poll() is not None:
                msg = f"{place.dockerd[0]} ended with exit status {process.returncode}; {place.log} ends:\n{_tail(place)}"
                raise DaemonError(msg)
            if time.monotonic() > deadline:
                msg = f"{place.dockerd[0]} does not answer after {START_DEADLINE_S:.0f} s; {place.log} ends:\n{_tail(place)}"
                raise DaemonError(msg)
            time.sleep(POLL_S)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(place: Place) -> str:
    return "\n".join(Path(place.log).read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


def run(command: list[str]) -> int:
    """Run ``command`` with ``CI=true``; SIGTERM and SIGHUP that reach us reach it, and we wait for its end."""
    process = subprocess.Popen(command, env=os.environ | {"CI": "true"})

    def forward(number: int, _frame: FrameType | None) -> None:
        # An interrupt from the keyboard has reached the command already, and a second one would cut its tidying short.
        if number != signal.SIGINT:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, was in before.items():
            signal.signal(number, was)
    return code if code >= 0 else 128 - code


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 125 when there is no engine."""
    parser = argparse.ArgumentParser(description="Run a command with a container engine; start and stop one where none runs.")
    parser.add_argument("--socket", default=SOCKET)
    parser.add_argument("--pid-file", default=PID_FILE)
    parser.add_argument("--log", default=LOG)
    parser.add_argument("--dockerd", action="append", help="program and first arguments of the engine, each with the option once more")
    parser.add_argument("--no-install", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    place = Place(given.socket, given.pid_file, given.log, tuple(given.dockerd or ("dockerd",)), not given.no_install)
    if not (command := given.command[1:] if given.command[:1] == ["--"] else given.command):
        parser.error("a command is needed")
    # Whatever ends us before the command begins must still stop the engine.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with engine(place, lambda words: print(words, flush=True)):
            return run(command)
    except DaemonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 125


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
