"""What every launcher of services promises. One contract test suite holds all of them to it (``tests/contract``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.service import ServiceSpec


class Service(Protocol):
    """A started service. What is done to it by ``kill`` and ``pause`` was asked for, so it is no incident."""

    @property
    def spec(self) -> ServiceSpec:
        """What was started."""
        ...

    @property
    def log(self) -> Path:
        """Its standard output and error, on this host."""
        ...

    @property
    def ports(self) -> Mapping[str, int]:
        """Purpose to the port on 127.0.0.1 of this host, as it is now: a restart may change it."""
        ...

    def address(self, purpose: str) -> str:
        """``host:port`` at which this host reaches the port with the least in between: its own address where that can be had. It stays the
        same when the service is started again, unless another one took it meanwhile. For what is measured; people are told ``ports``.
        """
        ...

    @property
    def pids(self) -> tuple[int, ...]:
        """Its processes as this host numbers them, the first one first; empty when it has ended."""
        ...

    def ended(self) -> str | None:
        """How it ended, in words (exit status or signal, out of memory, last log lines); ``None`` while it runs. Microseconds to 1 ms."""
        ...

    def kill(self) -> None:
        """SIGKILL to all its processes; returns when they are gone. May be called again."""
        ...

    def pause(self) -> None:
        """Stop all its processes where they are."""
        ...

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        ...

    def restart(self) -> None:
        """Start it again as it was, after it was killed or has ended. Does not wait until it is ready.

        :raises DeploymentError: when it cannot be started.
        """
        ...


class Group(Protocol):
    """Services that were started together, by name, in the order of their start."""

    @property
    def services(self) -> Mapping[str, Service]:
        """Every service that was started, those that have ended included."""
        ...

    def incident(self) -> str | None:
        """Which service ended although nobody asked it to, how, and its last log lines; ``None`` while all run."""
        ...

    def stop(self) -> None:
        """Stop all, those that use the infrastructure first, and remove what they wrote. Within 4 s; may be called again."""
        ...


class Launcher(Protocol):
    """Starts services. ``name`` is ``process`` or ``container``."""

    @property
    def name(self) -> str:
        """As ``--dynperf-launcher`` calls it."""
        ...

    def choose_ports(self, count: int) -> tuple[int, ...]:
        """Distinct ports that services may listen on.

        :raises DeploymentError: when there are not so many.
        """
        ...

    def start(
        self,
        specs: Sequence[ServiceSpec],
        *,
        directory: Path,
        log_path: Callable[[str], Path],
        before: Callable[[ServiceSpec, Group], None] | None = None,
    ) -> Group:
        """Start all, in order; waits for none, unless ``before`` does, which is called with the next spec and what runs already.
        ``directory`` on this host takes everything that they write and is removed when they are stopped; logs go to ``log_path(name)``.
        Interrupted or failing in the middle, it stops what it has started.

        :raises DeploymentError: when a program or an image is missing, or something cannot be executed or written.
        """
        ...


def ready_url(service: Service) -> str:
    """Where ``service`` says that it is ready."""
    check = service.spec.ready
    return f"http://127.0.0.1:{service.ports[check.port]}{check.path}"
