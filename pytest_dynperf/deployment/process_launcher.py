"""The launcher of processes: :mod:`pytest_dynperf.deployment.process` behind the contract of all launchers."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import process, reaper
from pytest_dynperf.deployment.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Group
    from pytest_dynperf.deployment.service import ServiceSpec


class _Service:
    """One service of a :class:`_Group`."""

    def __init__(self, running: process.Running) -> None:
        self.running = running
        self._asked = False

    @property
    def spec(self) -> ServiceSpec:
        return self.running.spec

    @property
    def log(self) -> Path:
        return self.running.log

    def address(self, purpose: str) -> str:
        return f"127.0.0.1:{self.ports[purpose]}"

    @property
    def ports(self) -> Mapping[str, int]:
        return self.spec.ports

    @property
    def pids(self) -> tuple[int, ...]:
        if process.ended(self.running.process) is not None:
            return ()
        group = self.running.process.pid
        return (group, *(pid for pid in reaper.marked(self.running.mark) if pid != group and _group_of(pid) == group))

    def ended(self) -> str | None:
        return process.ended(self.running.process)

    def incident(self) -> str | None:
        """How it ended although nobody asked it to, with its last log lines."""
        asked, running = self._asked, self.running
        found = process.incident([running])
        # Asked again: another thread may have killed it, and even started it again, while this one looked.
        return None if asked or self._asked or self.running is not running else found

    def kill(self) -> None:
        self._asked = True
        process.kill(self.running.process)

    def pause(self) -> None:
        process.signal_group(self.running.process, signal.SIGSTOP)

    def resume(self) -> None:
        process.signal_group(self.running.process, signal.SIGCONT)

    def restart(self) -> None:
        self.running = process.start_again(self.running)
        self._asked = False


class _Group:
    """Processes that were started together; ``directory`` goes when they are stopped."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.services: dict[str, _Service] = {}

    def hold(self, running: Sequence[process.Running]) -> None:
        """What runs by now."""
        self.services = {service.spec.name: self.services.get(service.spec.name) or _Service(service) for service in running}

    def incident(self) -> str | None:
        return next((text for service in self.services.values() if (text := service.incident()) is not None), None)

    def stop(self) -> None:
        services, self.services = self.services, {}
        try:
            process.stop([service.running for service in services.values()])
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)


class ProcessLauncher:
    """Starts services as processes of this host. ``choose_ports`` finds ports that are free now; what is started carries ``session``.
    ``descriptors`` are inherited by services that use GPUs: the locks behind them live as long as the last such process.
    """

    name = "process"

    def __init__(
        self, choose_ports: Callable[[int], tuple[int, ...]] = free_ports, *, session: str = "", descriptors: Sequence[int] = ()
    ) -> None:
        self.choose_ports = choose_ports
        self._session = session
        self._descriptors = tuple(descriptors)

    def start(
        self,
        specs: Sequence[ServiceSpec],
        *,
        directory: Path,
        log_path: Callable[[str], Path],
        before: Callable[[ServiceSpec, Group], None] | None = None,
    ) -> _Group:
        """As :meth:`Launcher.start`; about 5 ms a service."""
        group = _Group(directory)

        def hold(spec: ServiceSpec, running: Sequence[process.Running]) -> None:
            group.hold(running)
            if before is not None:
                before(spec, group)

        try:
            group.hold(
                process.start(
                    specs, log_path=log_path, before=hold, session=self._session, directory=directory, descriptors=self._descriptors
                )
            )
        except BaseException:
            group.stop()
            raise
        return group


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
