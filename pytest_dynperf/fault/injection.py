"""A fault of a scenario, injected while the load goes on, by a thread of its own that stamps what it did.

In: the fault, the deployment, and how far the run has come. Out: :attr:`Injection.series` (``fault.active``: 1 from the instant before the
fault, 0 from the instant at which it was undone), :attr:`Injection.problems` that make the run invalid, and whether the system came back.
A fault that did not happen is a problem: nothing may pass because nothing was broken.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import readiness
from pytest_dynperf.errors import DynperfError
from pytest_dynperf.fault import toolbox
from pytest_dynperf.fault.network import require_own_network
from pytest_dynperf.metrics.series_ids import FAULT_ACTIVE
from pytest_dynperf.observation.series import Series, SeriesKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.load.progress import Progress
    from pytest_dynperf.scenario.fault import Fault

_JOIN_S = 60.0


class Injection:
    """One fault of one run. ``problems`` forbid judging the run. ``broken`` says why the deployment is not what it was, ``None`` where it
    is; a deployment that is not must be discarded.
    """

    def __init__(self, fault: Fault | None, service: Service | None) -> None:
        self.fault = fault
        self.problems: tuple[str, ...] = ()
        self.broken: str | None = None
        self._service = service
        self._stamps_ns: list[int] = []
        self._begun, self._due, self._over = threading.Event(), threading.Event(), threading.Event()

    @property
    def series(self) -> tuple[Series, ...]:
        """When it was active; empty where nothing was injected."""
        if self.fault is None or self._service is None or not self._stamps_ns:
            return ()
        labels = (("action", self.fault.action), ("target", self.fault.target))
        values = (1.0, 0.0)[: len(self._stamps_ns)]
        return (
            Series(
                id=FAULT_ACTIVE,
                source=self._service.spec.name,
                kind=SeriesKind.GAUGE,
                labels=labels,
                stamps_ns=tuple(self._stamps_ns),
                values=values,
            ),
        )

    @property
    def witness(self) -> dict[str, float]:
        """``fault.injected`` (0 or 1) and ``fault.active_s``; empty where no fault was asked for."""
        if self.fault is None:
            return {}
        stamps = self._stamps_ns
        return {"fault.injected": float(bool(stamps))} | ({"fault.active_s": (stamps[1] - stamps[0]) / 1e9} if len(stamps) > 1 else {})

    def watching(self, told: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """``told``, and the fault when the run has come far enough."""

        def look(progress: Progress) -> None:
            self._look(progress.done, progress.total)
            told(progress)

        return told if self.fault is None else look

    def _look(self, done: int, total: int) -> None:
        if self.fault is None or not done:
            return
        self._begun.set()
        if self.fault.at_s is None and done >= self.fault.after_share * total:
            self._due.set()

    def start(self) -> threading.Thread:
        """Wait in a thread until it is time, then break and heal."""
        thread = threading.Thread(target=self._work, name="dynperf-fault", daemon=True)
        thread.start()
        return thread

    def finish(self, thread: threading.Thread) -> None:
        """Whatever happened: heal now what is still broken, and say what did not happen."""
        early = not self._healed
        self._over.set()
        self._begun.set()
        self._due.set()
        thread.join(_JOIN_S)
        if self.fault is None or self.problems:
            return
        if thread.is_alive():
            self.problems = (f"the fault ({self.fault.words}) could not be undone within {_JOIN_S:g} s",)
        elif not self._stamps_ns:
            self.problems = (f"the fault ({self.fault.words}) was not injected: the run ended before it was time",)
        elif early:
            self.problems = (
                f"the run ended before the fault ({self.fault.words}) was undone: nothing shows how it recovers; ask for more requests",
            )

    @property
    def _healed(self) -> bool:
        return len(self._stamps_ns) > 1

    def _work(self) -> None:
        assert self.fault is not None
        assert self._service is not None
        try:
            if not self._wait():
                return
            with ExitStack() as healing:
                now_ns = time.monotonic_ns()
                _break(self.fault, self._service, healing)
                self._stamps_ns.append(now_ns)
                if self.fault.action != "restart":
                    self._over.wait(self.fault.duration_s)
            self._stamps_ns.append(time.monotonic_ns())
        except Exception as error:  # noqa: BLE001 -- a thread has nobody above it: whatever it is, the run is invalid by it
            self.problems = (f"the fault ({self.fault.words}) went wrong: {error}",)

    def _wait(self) -> bool:
        """Until it is time; whether it is."""
        assert self.fault is not None
        if self.fault.at_s is None:
            self._due.wait()
        else:
            self._begun.wait()
            self._over.wait(self.fault.at_s)
        return not self._over.is_set()


def _break(fault: Fault, service: Service, healing: ExitStack) -> None:
    if fault.action == "pause":
        healing.enter_context(toolbox.paused(service))
    elif fault.action == "cut-off":
        healing.enter_context(toolbox.cut_off(service))
    else:
        toolbox.kill(service)
        healing.callback(service.restart)


@contextmanager
def injected(fault: Fault | None, deployment: Deployment, *, instances: int) -> Iterator[Injection]:
    """The fault while the block runs; healed after it on every way out. A block that ended well is followed by a wait, of ``restore_s`` at
    most, until the deployment lists ``instances`` generating workers and completes.

    :raises UnsupportedFaultError: before the block, when the deployment has nothing that the fault could meet.
    """
    if fault is None:
        yield Injection(None, None)
        return
    service = toolbox.service_of(deployment, fault.target)
    if fault.action == "cut-off":
        require_own_network(service)
    injection = Injection(fault, service)
    thread = injection.start()
    try:
        yield injection
    finally:
        injection.finish(thread)
    injection.broken = _complaint(fault, service, deployment, instances)
    if injection.broken is not None:
        injection.problems = (*injection.problems, injection.broken)


def _complaint(fault: Fault, service: Service, deployment: Deployment, instances: int) -> str | None:
    """Why the deployment is not what it was before the fault."""
    deadline = time.monotonic() + fault.restore_s
    try:
        readiness.wait_services([service], incident=deployment.incident, deadline=deadline)
        readiness.wait_ready(deployment.endpoint, instances=instances, incident=deployment.incident, deadline=deadline)
    except DynperfError as error:
        return f"the deployment did not come back after the fault ({fault.words}), and was discarded: {error}"
    return None
