"""Ends what a killed session has left behind. Runs as a program of its own: ``python -I -S reaper.py MARK [NAME=VALUE …]``.

It blocks on its standard input, whose other end only the session's process holds. End of file means that this process is gone, however it
went (SIGKILL included), or that it has stopped everything in order; either way every process whose environment carries
``DYNPERF_DEPLOYMENT=MARK`` is killed, and in the second case there is none. Without the word that all is in order, what these name
goes too:

- ``directory=PATH`` (as often as needed): a directory and all that is in it;
- ``engine=SOCKET``: the container engine whose containers and networks with the label ``org.pytest-dynperf.mark=MARK`` are removed.

What it does not know it passes over. Standard library only; Linux only (``/proc``).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

VARIABLE = "DYNPERF_DEPLOYMENT"
LABEL = "org.pytest-dynperf.mark"
PATIENCE_S = 5.0
ENGINE_S = 30.0
"""How long an engine that is busy or restarting is asked again; 1 s is usual."""
QUIET_S = 0.5
QUIET_LOOKS = 6
"""An engine may still be making what it was asked for when its client was killed: it must have nothing of ours so often, so far apart."""
IN_ORDER = b"in order"


def start(mark: str, *, directories: tuple[str, ...] = (), engine: str | None = None) -> subprocess.Popen[bytes]:
    """Start a reaper that watches over the caller's process. About 5 ms; it takes 30 ms until it listens, and misses nothing.

    :raises OSError: when the interpreter cannot be started.
    """
    arguments = [*(f"directory={path}" for path in directories), *([] if engine is None else [f"engine={engine}"])]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, mark, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def let_go(guard: subprocess.Popen[bytes], *, clean: bool) -> None:
    """Tell the reaper that everything is gone, and wait until it is too; or (``clean=False``) leave the rest to it, without waiting."""
    if guard.stdin is not None:
        try:
            if clean and guard.poll() is None:
                guard.stdin.write(IN_ORDER)
            guard.stdin.close()
        except OSError:
            pass
    if clean:
        guard.wait()
    else:
        threading.Thread(target=guard.wait, name="dynperf-reaper", daemon=True).start()


def marked(mark: str) -> list[int]:
    """Process ids of this user whose environment carries ``mark``, and before them those that have lost it: a process that gives itself
    another title, as vLLM's engine core does, writes it over its environment. It still belongs to the session that a marked process leads.
    Zombies and the caller are left out.
    """
    entry = f"{VARIABLE}={mark}".encode()
    carrying: list[int] = []
    others: list[int] = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            carries = entry in (directory / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        (carrying if carries else others).append(int(directory.name))
    leaders = set(carrying)
    return [*(pid for pid in others if led_by(pid) in leaders), *carrying]


def led_by(pid: int) -> int:
    """The leader of the session that a process belongs to; 0 for a zombie, and for one that is gone."""
    try:
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return 0
    return 0 if state == "Z" else int(session)


def kill_marked(mark: str, patience_s: float = PATIENCE_S) -> list[int]:
    """SIGKILL until none is left, children that were being forked meanwhile included; returns what is left after ``patience_s``."""
    deadline = time.monotonic() + patience_s
    while left := marked(mark):
        if time.monotonic() > deadline:
            return left
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.01)
    return []


def remove_containers(engine: str, mark: str, patience_s: float = ENGINE_S) -> bool:
    """Remove the containers (with their volumes) and then the networks that carry ``mark``; whether the engine has none any more."""
    deadline = time.monotonic() + patience_s
    quiet = 0
    while quiet < QUIET_LOOKS:
        if time.monotonic() > deadline:
            return False
        try:
            left = _remove_once(engine, mark)
        except (OSError, ValueError, http.client.HTTPException):
            left = True
        quiet = 0 if left else quiet + 1
        if quiet < QUIET_LOOKS:
            time.sleep(QUIET_S)
    return True


def _remove_once(engine: str, mark: str) -> bool:
    """Whether there was anything to remove."""
    label = quote(json.dumps({"label": [f"{LABEL}={mark}"]}))
    containers = _ask(engine, "GET", f"/containers/json?all=1&filters={label}")
    for container in containers:
        _ask(engine, "DELETE", f"/containers/{container['Id']}?force=1&v=1")
    networks = _ask(engine, "GET", f"/networks?filters={label}")
    for network in networks:
        _ask(engine, "DELETE", f"/networks/{network.get('Id') or network.get('id')}")
    return bool(containers or networks)


def _ask(engine: str, method: str, path: str) -> list[dict[str, str]]:
    """One request on a connection of its own. A list of the engine's; nothing for what answers otherwise."""
    connection = http.client.HTTPConnection("engine", timeout=10.0)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(10.0)
        connection.sock.connect(engine)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if method == "GET" and answer.status != 200:
        message = f"HTTP {answer.status}"
        raise ValueError(message)
    told = json.loads(body) if method == "GET" else []
    return told if isinstance(told, list) else []


def _main(mark: str, arguments: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    in_order = sys.stdin.buffer.read() == IN_ORDER
    kill_marked(mark)
    if in_order:
        return
    named = [argument.partition("=") for argument in arguments]
    for name, _, value in named:
        if name == "engine":
            remove_containers(value, mark)
    for name, _, value in named:
        if name == "directory" and Path(value).is_absolute():
            shutil.rmtree(value, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
