"""The GPUs of a deployment, read throughout a run by a thread: what the driver says of clocks, heat, errors and processes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent
from pytest_dynperf.telemetry.gpu_owner import name_of, owner_of
from pytest_dynperf.telemetry.gpu_series import GpuSample, gpu_notes, gpu_series

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pytest_dynperf.accelerator.source import GpuSource
    from pytest_dynperf.observation.series import Series

INTERVAL_S = 0.25
_LAST_READING_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuWatch:
    """Which devices to read, by UUID of a GPU or MIG instance, and whose processes may be on them.

    ``own_pids``: host pids of the deployment's services, or a function that gives them now; their descendants are own as well. ``None``
    where nobody knows them. ``gpus`` is absent where there is no driver to ask: then there are no readings, which is a flaw of the run.
    """

    gpus: GpuSource | Absent
    uuids: tuple[str, ...]
    own_pids: Collection[int] | Callable[[], Collection[int]] | None = None


class GpuSampler:
    """A thread that reads each device once per interval, from its making to :meth:`finish`.

    A thread and not a process: a reading is calls of the driver, in which Python's lock is not held. 0.1 ms of CPU per device and reading
    beside what the driver takes. A driver that does not answer delays nobody: the thread is left behind, and the readings are missing.
    """

    def __init__(self, watch: GpuWatch, *, interval_s: float = INTERVAL_S) -> None:
        self._watch, self._interval_s = watch, interval_s
        self._owner = owner_of(watch.own_pids)
        self._names: dict[int, str] = {}
        self._samples: dict[str, list[GpuSample]] = {uuid: [] for uuid in watch.uuids}
        self._stop, self._asked_once = threading.Event(), threading.Event()
        self._indices: dict[str, int] = {}
        self._lock = threading.Lock()
        self._complaint: str | None = None
        self.cpu_s = 0.0
        """CPU time of the thread up to its last reading."""
        self._thread: threading.Thread | None = None
        if watch.uuids and not isinstance(watch.gpus, Absent):
            self._thread = threading.Thread(target=self._run, args=(watch.gpus,), name="dynperf-gpus", daemon=True)
            self._thread.start()
            self._asked_once.wait(_LAST_READING_S)

    def finish(self) -> tuple[tuple[Series, ...], tuple[str, ...]]:
        """Read once more, and return the series of every device with notes for people. Waits up to 10 s for a driver that hangs."""
        ended = self.close(_LAST_READING_S)
        gpus = self._watch.gpus
        notes = [] if ended else [f"the NVIDIA driver did not answer for {_LAST_READING_S:g} s: readings of GPUs are missing"]
        if isinstance(gpus, Absent) and self._watch.uuids:
            notes.append(f"the GPUs could not be read: {gpus.reason}")
        if self._complaint is not None:
            notes.append(self._complaint)
        series: list[Series] = []
        with self._lock:
            for uuid, samples in self._samples.items():
                series += gpu_series(uuid, self._indices.get(uuid), samples)
                notes += gpu_notes(uuid, self._indices.get(uuid), samples)
        return tuple(series), tuple(notes)

    def close(self, patience_s: float = 0.0) -> bool:
        """End the thread; whether it has ended. May be called again."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience_s)
            return not self._thread.is_alive()
        return True

    def _run(self, gpus: GpuSource) -> None:
        due = time.monotonic()
        try:
            listed = gpus.gpus()  # at the start: a GPU that is lost later has no index any more
            if not isinstance(listed, Absent):
                self._indices = {one: gpu.index for gpu in listed for one in (gpu.uuid, *(part.uuid for part in gpu.mig))}
            while True:
                last = self._stop.is_set()
                for uuid in self._watch.uuids:
                    self._read(gpus, uuid)
                self.cpu_s = time.thread_time()
                self._asked_once.set()
                if last:
                    return
                now = time.monotonic()
                due += self._interval_s * (1 + int((now - due) / self._interval_s))  # an interval that was missed is not made up for
                self._stop.wait(due - now)
        except Exception as error:  # noqa: BLE001 -- whoever measures must learn of it, in place of a trace on standard error
            self._complaint = f"reading the GPUs failed ({type(error).__name__}: {error}); this is a defect, please report it"
            self._asked_once.set()

    def _read(self, gpus: GpuSource, uuid: str) -> None:
        before_ns = time.monotonic_ns()
        reading = gpus.reading(uuid)
        stamp_ns = (before_ns + time.monotonic_ns()) // 2
        pids = [] if isinstance(reading.processes, Absent) else [process.pid for process in reading.processes]
        for pid in pids:
            self._names.setdefault(pid, name_of(pid))
        sample = GpuSample(stamp_ns=stamp_ns, reading=reading, owners={pid: (self._owner(pid), self._names[pid]) for pid in pids})
        with self._lock:
            self._samples[uuid].append(sample)
