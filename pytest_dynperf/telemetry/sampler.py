"""Reading metrics while requests are measured, without disturbing who measures: another process reads, this one parses afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_dynperf.telemetry import process
from pytest_dynperf.telemetry.gpu import GpuSampler
from pytest_dynperf.telemetry.names import BY_SAMPLE
from pytest_dynperf.telemetry.prometheus import Page, parse
from pytest_dynperf.telemetry.translate import series_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.observation.series import Series
    from pytest_dynperf.telemetry.gpu import GpuWatch

_START_S = 5.0
_STOP_S = 3 * process.TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One attempt to read a page. ``error`` says why there is none."""

    before_ns: int
    after_ns: int
    page: bytes
    error: str | None


@contextlib.contextmanager
def sampled(
    endpoint: Endpoint, *, interval_s: float = 1.0, budget_bytes: int = process.BUDGET_BYTES, gpus: GpuWatch | None = None
) -> Iterator[Sampler]:
    """Read every metrics URL of ``endpoint`` now, each ``interval_s``, and once more when :meth:`Sampler.finish` is called; and the devices
    of ``gpus``, at an interval of their own.

    Returns when every URL was asked once (about 0.1 s; 2 s for one that does not answer). The key and the headers of the endpoint go to its
    own origin only. What cannot be read, or started, becomes a note and never an error: metrics of servers explain, they do not decide.
    """
    sampler = Sampler(endpoint, interval_s=interval_s, budget_bytes=budget_bytes, gpus=gpus)
    try:
        yield sampler
    finally:
        sampler.close()


class Sampler:
    """A process that reads pages, and a thread that reads GPUs, until :meth:`finish`."""

    def __init__(self, endpoint: Endpoint, *, interval_s: float, budget_bytes: int, gpus: GpuWatch | None = None) -> None:
        self._sources = tuple(name for name, _ in endpoint.metrics_urls)
        self._interval_s = interval_s
        self._pages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in close()
        self._process: subprocess.Popen[bytes] | None = None
        self._complaint: str | None = None
        self.cpu_s: float | None = None
        """CPU time of the process that read, known after :meth:`finish`."""
        if self._sources:
            urls = [url for _, url in endpoint.metrics_urls]
            headers = [headers_of(endpoint, url) for url in urls]
            orders = process.orders(urls, interval_s=interval_s, headers=headers, ca_file=endpoint.ca_file, budget_bytes=budget_bytes)
            self._start(orders)
        self._gpus = None if gpus is None else GpuSampler(gpus)

    def _start(self, orders: bytes) -> None:
        try:
            started = subprocess.Popen(
                [sys.executable, "-I", "-S", process.__file__],
                stdin=subprocess.PIPE,
                stdout=self._pages,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches us, and we end it
                cwd="/",
            )
        except OSError as error:
            self._complaint = f"the process that reads server metrics could not be started: {error.strerror or error}"
            return
        self._process = started
        assert started.stdin is not None
        with contextlib.suppress(OSError):
            started.stdin.write(orders)
            started.stdin.flush()
        if not _becomes_ready(started, _START_S + process.TIMEOUT_S):
            self._complaint = f"the process that reads server metrics did not start: {self._end(0)}"

    def finish(self, *, raw: bool = False) -> tuple[tuple[Series, ...], tuple[str, ...]]:
        """Read once more, end the process, and return the series with notes for people: what could not be read, and why.

        ``raw`` keeps names that have no meaning here as well (``raw:NAME``). Costs about 3 ms for a page of 80 KB (20 ms with ``raw``).

        :raises ValueError: when it was called before.
        """
        if self._pages.closed:
            msg = "the readings were taken already"
            raise ValueError(msg)
        of_gpus, said_of_gpus = ((), ()) if self._gpus is None else self._gpus.finish()
        last_words = self._end(_STOP_S)
        if not self._sources:
            self._pages.close()
            return of_gpus, said_of_gpus
        notes = [] if self._complaint is None else [self._complaint]
        self._pages.seek(0)
        readings, self.cpu_s = read_frames(self._pages, len(self._sources))
        if self._complaint is None and self.cpu_s is None:
            notes.append(f"the process that reads server metrics ended early: {last_words or 'it was killed'}")
        self._pages.close()
        series: list[Series] = []
        for source, own in zip(self._sources, readings, strict=True):
            found, said = understood(source, own, interval_s=self._interval_s, raw=raw)
            series += found
            notes += said
        return (*series, *of_gpus), (*notes, *said_of_gpus)

    def close(self) -> None:
        """End the process, whatever it does, and forget what was not taken."""
        if self._gpus is not None:
            self._gpus.close()
        self._end(0)
        self._pages.close()

    def _end(self, patience_s: float) -> str:
        """What it said last. After ``patience_s`` it is killed."""
        running, self._process = self._process, None
        if running is None:
            return ""
        assert running.stdin is not None
        assert running.stderr is not None
        with contextlib.suppress(OSError):
            # A word rather than the end of the file alone: a process that was forked meanwhile may hold the other end as well.
            running.stdin.write(b"stop\n")
            running.stdin.close()
        try:
            running.wait(patience_s)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        with running.stderr, contextlib.suppress(OSError):
            os.set_blocking(running.stderr.fileno(), False)
            lines = (running.stderr.read() or b"").decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""


def _becomes_ready(started: subprocess.Popen[bytes], patience_s: float) -> bool:
    assert started.stderr is not None
    deadline, heard = time.monotonic() + patience_s, b""
    while len(heard) < len(process.READY) and (left := deadline - time.monotonic()) > 0:
        if select.select([started.stderr], [], [], left)[0]:
            piece = os.read(started.stderr.fileno(), len(process.READY) - len(heard))
            if not piece:
                return False
            heard += piece
    return heard == process.READY


def headers_of(endpoint: Endpoint, url: str) -> dict[str, str]:
    """What goes to the endpoint goes to its own origin, and nowhere else."""
    if urlsplit(url)[:2] != urlsplit(endpoint.base_url)[:2]:
        return {}
    key = os.environ.get(endpoint.api_key_variable) if endpoint.api_key_variable is not None else None
    return dict(endpoint.headers) | ({"Authorization": f"Bearer {key}"} if key else {})


def read_frames(file: IO[bytes], targets: int) -> tuple[list[list[Reading]], float | None]:
    """The readings of each target in their order, and the CPU time of the process; ``None`` where it did not come to its end. What a killed
    process left of a frame is dropped.
    """
    readings: list[list[Reading]] = [[] for _ in range(targets)]
    while line := file.readline():
        try:
            header = json.loads(line)
        except ValueError:
            break
        if "cpu_s" in header:
            return readings, float(header["cpu_s"])
        payload = file.read(header["size"])
        if len(payload) < header["size"]:
            break
        page = b"" if header["error"] is not None else zlib.decompress(payload)
        reading = Reading(before_ns=header["before_ns"], after_ns=header["after_ns"], page=page, error=header["error"])
        readings[header["target"]].append(reading)
    return readings, None


def understood(
    source: str, readings: Sequence[Reading], *, interval_s: float, raw: bool = False
) -> tuple[tuple[Series, ...], tuple[str, ...]]:
    """Series of one service, and what is to be said of its readings. A reading is stamped in the middle of its exchange. Pure."""
    stamps_ns: list[int] = []
    pages: list[Page] = []
    failed = [reading.error for reading in readings if reading.error is not None]
    for reading in readings:
        if reading.error is not None:
            continue
        page = parse(reading.page.decode("utf-8", "replace"), wanted=None if raw else BY_SAMPLE)
        if not page.lines and page.malformed:
            failed.append(f"not Prometheus text, beginning {page.malformed[0][:80]!r}")
            continue
        stamps_ns.append((reading.before_ns + reading.after_ns) // 2)
        pages.append(page)
    notes = []
    if failed:
        notes.append(f"metrics of {source}: {len(failed)} of {len(readings)} readings failed; the last: {failed[-1]}")
    broken = [line for page in pages for line in page.malformed]
    if broken:
        notes.append(
            f"metrics of {source}: {len(broken)} lines in {len(pages)} readings are not Prometheus text, such as {broken[0][:80]!r}"
        )
    slowest_s = max((reading.after_ns - reading.before_ns for reading in readings), default=0) / 1e9
    if slowest_s > interval_s:
        notes.append(f"metrics of {source}: a reading took {slowest_s:.2g} s, longer than the interval of {interval_s:g} s")
    return series_of(source, stamps_ns, pages, raw=raw), tuple(notes)
