"""A service in a container: started, followed, asked after, paused, killed, started again.

A thread follows each container: it copies what the container writes into its log and learns from the engine how it ended, so that asking
costs nothing.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any

from pytest_dynperf.deployment.container_engine import attach, frames, translated
from pytest_dynperf.deployment.container_log import LogFile
from pytest_dynperf.deployment.container_words import bridge_of, host_ports, how_ended
from pytest_dynperf.deployment.process import tail
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.secret import known_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.deployment.container_engine import Engine
    from pytest_dynperf.deployment.service import ServiceSpec

KILLED_S = 10.0
"""Longest time from SIGKILL to the engine's word that a container has ended; 0.1 s is usual."""


class ContainerService:
    """One service of a group; ``container`` is the engine's id of it. Created, and not started yet."""

    def __init__(self, engine: Engine, spec: ServiceSpec, *, container: str, log: Path, memory_bytes: int | None) -> None:
        self.engine = engine
        self.container = container
        self._spec = spec
        self._log = log
        self._memory_bytes = memory_bytes
        self._ports: Mapping[str, int] = spec.ports
        self._own_address: str | None = None
        self._pid = 0
        self._ended: str | None = None
        self._asked = False
        self._paused = False
        self._stream: socket.socket | None = None
        self._follower: threading.Thread | None = None

    @property
    def spec(self) -> ServiceSpec:
        """What was started."""
        return self._spec

    @property
    def log(self) -> Path:
        """Its standard output and error, on this host."""
        return self._log

    @property
    def ports(self) -> Mapping[str, int]:
        """Purpose to the port on 127.0.0.1, as it is now."""
        return self._ports

    def address(self, purpose: str) -> str:
        """Its own address on the bridge, where this host is on that bridge; else the published port. In between stands the engine's port
        forwarder, which acknowledges late: a first token that is a small packet then waits for up to 40 ms (Nagle's algorithm).
        """
        if self._own_address is None:
            return f"127.0.0.1:{self._ports[purpose]}"
        return f"{self._own_address}:{self._spec.ports[purpose]}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of its control group, the first one first; empty when it has ended. About 1 ms a hundred processes of the host."""
        if self._ended is not None or not self._pid:
            return ()
        return (self._pid, *(pid for pid in self._members() if pid != self._pid))

    def ended(self) -> str | None:
        """How it ended, in words; ``None`` while it runs. A look at a variable."""
        return self._ended

    def incident(self) -> str | None:
        """How it ended although nobody asked it to, with its last log lines."""
        asked, ended = self._asked, self._ended
        # Asked again: another thread may have killed it, and even started it again, while this one looked.
        if asked or ended is None or self._asked or self._ended is not ended:
            return None
        return f"service {self._spec.name} {ended}, although nobody asked it to. Its log {self._log} ends:\n{tail(self._log)}"

    def start(self, *, append: bool = False) -> None:
        """Start the container and follow it; its log begins anew unless ``append``.

        :raises DeploymentError: when its log cannot be written, or the engine cannot start it.
        """
        try:
            log = LogFile(self._log, append=append)
        except OSError as error:
            msg = f"cannot start service {self._spec.name}: {error.filename or self._log}: {error.strerror or error}"
            raise DeploymentError(msg) from error
        try:
            self._stream = attach(self.engine, self.container, stdin=False)
            with self._translated(f"cannot start service {self._spec.name} (image {self._spec.image}, program {self._spec.argv[0]})"):
                self.engine.client.start(self.container)
        except BaseException:
            log.close()
            self._close_stream()
            raise
        self._ended, self._paused = None, False
        self._follower = threading.Thread(
            target=self._follow, args=(self._stream, log), name=f"dynperf-container-{self._spec.name}", daemon=True
        )
        self._follower.start()
        # A port that the engine chose is free again as soon as the container ends: each start gets another.
        described = self._inspect()
        self._pid = int(described["State"]["Pid"] or 0)
        self._ports = host_ports(self._spec, described["NetworkSettings"])
        self._own_address = _reached(described["NetworkSettings"])

    def kill(self) -> None:
        """SIGKILL to all its processes; returns when they are gone, after 0.1 s.

        :raises DeploymentError: when the engine does not answer, or does not see it end within 10 s.
        """
        self._asked = True
        if self._ended is not None:
            return
        self._signal("SIGKILL")
        self._paused = False
        if not self.wait(KILLED_S):
            msg = f"service {self._spec.name} was killed, and the container engine has not seen it end for {KILLED_S:g} s"
            raise DeploymentError(msg)

    def pause(self) -> None:
        """Freeze its control group.

        :raises DeploymentError: when the engine refuses.
        """
        if self._ended is None and not self._paused:
            with self._translated(f"pausing service {self._spec.name}"):
                self.engine.client.pause(self.container)
            self._paused = True

    def resume(self) -> None:
        """Undo :meth:`pause`.

        :raises DeploymentError: when the engine refuses.
        """
        if self._paused:
            with self._translated(f"resuming service {self._spec.name}"):
                self.engine.client.unpause(self.container)
            self._paused = False

    def restart(self) -> None:
        """Start the same container again; its log goes on, its files are what they were, its ports are others.

        :raises DeploymentError: when it still runs, or cannot be started.
        """
        if self._ended is None:
            msg = f"service {self._spec.name} still runs (process {self._pid}): end it before it is started again"
            raise DeploymentError(msg)
        self.wait(KILLED_S)
        self.start(append=True)
        self._asked = False

    def ask_to_end(self) -> None:
        """SIGTERM, unless it has ended or is paused. Whatever happens to it from now on was asked for."""
        self._asked = True
        if self._ended is None and not self._paused:
            with contextlib.suppress(DeploymentError):
                self._signal("SIGTERM")

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended and its log is complete; whether it has."""
        if self._follower is not None:
            self._follower.join(max(0.0, seconds))
            return not self._follower.is_alive()
        return True

    def release(self) -> None:
        """Let go of its streams; once its container is gone."""
        self._asked = True
        if not self.wait(1.0):
            self._close_stream()
            self.wait(1.0)

    def _signal(self, name: str) -> None:
        from docker.errors import APIError

        with self._translated(f"sending {name} to service {self._spec.name}"):
            try:
                self.engine.client.kill(self.container, signal=name)
            except APIError as error:
                # 404 and 409: it is gone, or does not run any more.
                if error.status_code not in (404, 409):
                    raise

    def _follow(self, stream: socket.socket, log: LogFile) -> None:
        try:
            with contextlib.suppress(OSError):
                for piece in frames(stream):
                    # A full disk loses the log; it must not stop a container that waits until its output is read.
                    with contextlib.suppress(OSError):
                        log.write(piece)
        finally:
            with contextlib.suppress(OSError):
                log.close()
            stream.close()
            self._ended = self._how()

    def _how(self) -> str:
        """Wait until the engine says that it has ended (a service may close its output before), and ask how."""
        try:
            with self._translated(f"asking after service {self._spec.name}"):
                self.engine.client.wait(self.container, condition="not-running")
            return how_ended(self._inspect()["State"], self._memory_bytes)
        except DeploymentError as error:
            return "was stopped" if self._asked else f"cannot be seen any more: {error}"

    def _inspect(self) -> dict[str, Any]:
        with self._translated(f"asking after service {self._spec.name}"):
            described: dict[str, Any] = self.engine.client.inspect_container(self.container)
        return described

    def _members(self) -> list[int]:
        """Processes of the container's control group as this host numbers them."""
        try:
            own = Path(f"/proc/{self._pid}/cgroup").read_bytes()
        except OSError:
            own = b""
        if self.container.encode() in own:
            return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and _is_in(one, own)]
        try:
            with self._translated(f"asking for the processes of service {self._spec.name}"):
                rows = self.engine.client.top(self.container, "-eo pid")["Processes"] or []
        except DeploymentError:
            return []
        return [int(row[0]) for row in rows]

    def _close_stream(self) -> None:
        if self._stream is not None:
            # Closing alone does not wake a thread that reads.
            with contextlib.suppress(OSError):
                self._stream.shutdown(SHUT_RDWR)
            self._stream.close()

    def _translated(self, what: str) -> contextlib.AbstractContextManager[None]:
        return translated(what, known_secrets(self._spec.env, arguments=self._spec.argv))


def _is_in(process: Path, cgroup: bytes) -> bool:
    try:
        return (process / "cgroup").read_bytes() == cgroup
    except OSError:
        return False


def _reached(network: Mapping[str, object]) -> str | None:
    """The container's address where this host can send to it: the bridge's own address is one of this host's. Engines in a virtual machine,
    or in a network namespace of their own, have their bridges elsewhere.
    """
    found = bridge_of(network)
    if found is None:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((found.gateway, 0))
        except OSError:
            return None
    return found.address
