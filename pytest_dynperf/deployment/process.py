"""Starts services as processes and stops them by the handles it holds.

Every service gets a session and process group of its own, so that Ctrl-C in the terminal does not reach it and its children can be ended
with it. A group is signalled only while its leader has not been reaped: until then the kernel cannot give its number to anybody else.
A reaper (:mod:`pytest_dynperf.deployment.reaper`) ends everything when this process is killed.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import reaper
from pytest_dynperf.deployment.service import INFRASTRUCTURE
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.secret import known_secrets, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.deployment.service import ServiceSpec

STOP_S = 4.0
"""Longest time that stopping takes before everything left is killed; pytest-xdist gives its workers 5 s."""
_INFRASTRUCTURE_S = 1.0
_TAIL_BYTES = 8192
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A started service: its spec, its process, its log file, and the reaper that watches over it. ``oom_kills`` is how many processes of
    this machine the kernel had killed for want of memory when it was started.
    """

    spec: ServiceSpec
    process: subprocess.Popen[bytes]
    log: Path
    guard: subprocess.Popen[bytes]
    mark: str
    oom_kills: int = 0
    descriptors: tuple[int, ...] = ()


def start(
    specs: Sequence[ServiceSpec],
    *,
    log_path: Callable[[str], Path],
    before: Callable[[ServiceSpec, Sequence[Running]], None] | None = None,
    session: str = "",
    directory: Path | None = None,
    descriptors: tuple[int, ...] = (),
) -> list[Running]:
    """Start all, in order; standard output and error go to ``log_path(name)``. Their mark begins with ``session``, so that whoever sweeps
    up later knows whose they are. When this process is killed, ``directory`` goes with them. Those that use GPUs inherit ``descriptors``.

    Waits for none, unless ``before`` does: it is called with the next service and those that run already. About 5 ms a service.
    Interrupted or failing in the middle, it stops what it has started.

    :raises DeploymentError: when a program cannot be executed, or a directory or file cannot be written.
    """
    running: list[Running] = []
    mark = new_mark(session)
    guard = _start_guard(mark, directory)
    try:
        for spec in specs:
            if before is not None:
                before(spec, running)
            log = log_path(spec.name)
            kills = oom_kills()
            process = _start_one(spec, log, mark, descriptors=descriptors)
            running.append(Running(spec=spec, process=process, log=log, guard=guard, mark=mark, oom_kills=kills, descriptors=descriptors))
    except BaseException:
        _stop_guarded(running, guard, mark, time.monotonic() + STOP_S)
        raise
    return running


def incident(running: Sequence[Running]) -> str | None:
    """Which service has ended, how, and its last log lines; ``None`` while all run. One ``waitid`` a service: 2 microseconds."""
    for service in running:
        status = ended(service.process)
        if status is not None:
            how = f"{status}, although nobody asked it to{_for_want_of_memory(service)}"
            return f"service {service.spec.name} {how}. Its log {service.log} ends:\n{tail(service.log)}"
    return None


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """How many processes the kernel of this machine has killed for want of memory since it started; 0 where it does not say. 30 µs."""
    try:
        found = next((line for line in counters.read_text().splitlines() if line.startswith("oom_kill ")), "oom_kill 0")
    except OSError:
        return 0
    return int(found.split()[1])


def _for_want_of_memory(service: Running) -> str:
    """A process is told by SIGKILL and nothing else that memory was short: who killed it is not recorded, that somebody was killed is."""
    killed = oom_kills() - service.oom_kills
    if killed <= 0 or service.process.returncode is not None or "SIGKILL" not in (ended(service.process) or ""):
        return ""
    return f" (out of memory: the kernel of this machine has killed {killed} for want of it since the service was started)"


def tail(log: Path) -> str:
    """The last lines of a log as text, whatever bytes it holds and however large it is; without secrets."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = redact(file.read().decode("utf-8", "replace"), known_secrets(os.environ), cut=True).splitlines()
    except OSError as error:
        return f"  (cannot be read: {error.strerror})"
    printable = ["  " + "".join(c if c.isprintable() else "\ufffd" for c in line.replace("\t", " ")) for line in lines[-_TAIL_LINES:]]
    return "\n".join(printable) or "  (empty)"


def stop(running: Sequence[Running]) -> None:
    """Stop all and reap them: first what uses the infrastructure, at the same time, then etcd and NATS.

    SIGTERM to each process group, SIGKILL to what remains after 4 s in all. Half a second for a healthy stack. Safe to call again.
    """
    deadline = time.monotonic() + STOP_S
    for mark, guard in {service.mark: service.guard for service in reversed(running)}.items():
        _stop_guarded([service for service in running if service.mark == mark], guard, mark, deadline)


def _stop_guarded(running: Sequence[Running], guard: subprocess.Popen[bytes], mark: str, deadline: float) -> None:
    infrastructure = [service for service in running if service.spec.role in INFRASTRUCTURE]
    users = [service for service in running if service not in infrastructure]
    try:
        _terminate(users, deadline - _INFRASTRUCTURE_S)
        _terminate(infrastructure, deadline)
    finally:
        for service in reversed(running):
            kill(service.process)
        # A child that made a session of its own has left the group; the mark finds it.
        if guard.poll() is None:
            reaper.kill_marked(mark, patience_s=1.0)
            reaper.let_go(guard, clean=True)


def new_mark(session: str) -> str:
    """What everything that is started together carries: ``<session>-<32 hexadecimal digits>``, without a session the digits alone."""
    return f"{session}-{secrets.token_hex(16)}".removeprefix("-")


def _start_guard(mark: str, directory: Path | None) -> subprocess.Popen[bytes]:
    try:
        return reaper.start(mark, directories=() if directory is None else (str(directory.absolute()),))
    except OSError as error:
        msg = f"cannot start {sys.executable}: {error.strerror}"
        raise DeploymentError(msg) from error


def start_again(service: Running) -> Running:
    """The same service once more, watched over by the same reaper; its log goes on where it ended.

    :raises DeploymentError: when its program cannot be executed, or it still runs.
    """
    if ended(service.process) is None:
        msg = f"service {service.spec.name} still runs (process {service.process.pid}): end it before it is started again"
        raise DeploymentError(msg)
    kill(service.process)
    return replace(service, process=_start_one(service.spec, service.log, service.mark, append=True, descriptors=service.descriptors))


def _start_one(
    spec: ServiceSpec, log: Path, mark: str, *, append: bool = False, descriptors: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    try:
        for directory in (spec.working_directory, *spec.directories, str(log.parent)):
            Path(directory).mkdir(parents=True, exist_ok=True)
        for path, text in spec.files.items():
            Path(path).write_text(text, encoding="utf-8")
        with log.open("ab" if append else "wb") as output:
            return subprocess.Popen(
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**spec.env, reaper.VARIABLE: mark},
                cwd=spec.working_directory,
                start_new_session=True,
                pass_fds=descriptors if spec.gpus else (),
            )
    except OSError as error:
        msg = f"cannot start service {spec.name}: {error.filename or spec.argv[0]}: {error.strerror or error}"
        raise DeploymentError(msg) from error


def ended(process: subprocess.Popen[bytes]) -> str | None:
    """How the process ended, without reaping it; ``None`` while it runs."""
    if process.returncode is not None:
        return "was stopped"
    try:
        result = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        process.wait()  # somebody else of this process has reaped it: its number is no longer ours to signal
        return "ended with an exit status that something else in this process has collected"
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return f"ended with exit status {result.si_status}"
    return f"was killed by {_signal_name(result.si_status)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _terminate(services: Sequence[Running], deadline: float) -> None:
    """SIGTERM to all groups at once, then wait until every leader has ended or ``deadline`` has passed."""
    waiting = [service.process for service in services if service.process.returncode is None]
    for process in waiting:
        signal_group(process, signal.SIGTERM)
    while waiting and time.monotonic() < deadline:
        waiting = [process for process in waiting if ended(process) is None]
        if waiting:
            time.sleep(0.01)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to what is left of the group, its leader unreaped until then, and wait for the leader. May be called again."""
    if process.returncode is None:
        signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the group that ``process`` leads; nothing where it is gone."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of zombies.
        return
