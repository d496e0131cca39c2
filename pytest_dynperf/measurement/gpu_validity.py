"""What the GPUs say that forbids judging a run: slowed down, in error, used by somebody else, gone, idle, or not looked at. Pure.

A recording without series of GPUs is one without GPUs. What a GPU does not say is unknown, and said in the notes of whoever read it; what
it said at first and then no longer is a flaw.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.gpu_coverage import spell, uncovered_share, within
from pytest_dynperf.measurement.gpu_reasons import FORBIDDEN, POWER_CAP, forbidden
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.success import successful

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

MAX_MISSING_SHARE = 0.1
MAX_UNEXPLAINED_BYTES = 256 << 20
"""Growth of memory that no process explains: contexts and the driver's own pages take tens of MiB, a model takes GiB."""
MIN_IDLE_READINGS = 4
MIN_IDLE_WINDOW_S = 2.0
"""The driver's utilization looks back up to a second: below this a busy GPU may never be seen."""
_MIB = 1 << 20


def gpu_problems(recording: Recording) -> tuple[str, ...]:
    """Sentences for people, each with the GPU, when and for how long; empty where nothing forbids judging, or there is no GPU."""
    found: list[str] = []
    for series in _by_device(recording).values():
        name = _name(series)
        gone = list(_gone(series, recording))
        checks = (_slowed, _errors, _foreign, _unexplained, _idle, _missing)
        found += [f"{name}: {text}" for text in gone or [text for check in checks for text in check(series, recording)]]
    return tuple(found)


def gpu_notes(recording: Recording) -> tuple[str, ...]:
    """What is worth knowing and forbids nothing: a GPU at its power limit."""
    found = []
    for series in _by_device(recording).values():
        for reasons in _of(series, ids.GPU_CLOCK_REASONS):
            capped = spell(reasons, recording, lambda value: bool(int(value) & POWER_CAP))
            if capped is not None:
                text = capped.text(recording.duration_s)
                found.append(f"{_name(series)}: held at its power limit (SwPowerCap) {text}: its clocks were lower than they could be")
    return tuple(found)


def _by_device(recording: Recording) -> dict[str, list[Series]]:
    found: defaultdict[str, list[Series]] = defaultdict(list)
    for series in recording.series:
        if series.id.startswith("gpu."):
            found[series.source].append(series)
    return found


def _name(series: list[Series]) -> str:
    index = next((dict(one.labels)["gpu"] for one in series if "gpu" in dict(one.labels)), None)
    return f"GPU {series[0].source}" if index is None else f"GPU {index} ({series[0].source})"


def _of(series: list[Series], series_id: str) -> list[Series]:
    return [one for one in series if one.id == series_id]


def _at(recording: Recording, stamp_ns: int) -> str:
    seconds = (stamp_ns - recording.window_start_ns) / 1e9
    return f"{-seconds:.1f} s before the window" if seconds < 0 else f"{seconds:.1f} s after the start of the window"


def _gone(series: list[Series], recording: Recording) -> Iterator[str]:
    for present in _of(series, ids.GPU_PRESENT):
        lost = [stamp for stamp, value in zip(present.stamps_ns, present.values, strict=True) if value == 0]
        if lost:
            span = (lost[-1] - lost[0]) / 1e9
            yield (
                f"vanished {_at(recording, lost[0])}: the driver no longer reached it in {len(lost)} of {len(present.values)} readings "
                f"over {span:.1f} s; look for Xid and NVRM in the kernel's log (dmesg)"
            )


def _slowed(series: list[Series], recording: Recording) -> Iterator[str]:
    for reasons in _of(series, ids.GPU_CLOCK_REASONS):
        for bit, words in FORBIDDEN.items():
            held = spell(reasons, recording, _says(bit))
            if held is not None:
                yield f"{words} {held.text(recording.duration_s)}, allowed is none{_heat(series, recording)}"


def _says(bit: int) -> Callable[[float], bool]:
    return lambda mask: bit in forbidden(int(mask))


def _more_than(least: float) -> Callable[[float], bool]:
    return lambda value: value - least > MAX_UNEXPLAINED_BYTES


def _heat(series: list[Series], recording: Recording) -> str:
    hottest = [max(values) for one in _of(series, ids.GPU_TEMPERATURE) if (values := within(one, recording))]
    slowest = [min(values) for one in _of(series, ids.GPU_SM_CLOCK) if (values := within(one, recording))]
    said = [f"up to {hottest[0]:.0f} °C"] if hottest else []
    said += [f"down to {slowest[0] / 1e6:.0f} MHz"] if slowest else []
    return f" ({', '.join(said)})" if said else ""


def _errors(series: list[Series], recording: Recording) -> Iterator[str]:
    for errors in _of(series, ids.GPU_ECC_UNCORRECTED):
        first = next((stamp for stamp, value in zip(errors.stamps_ns, errors.values, strict=True) if value > 0), None)
        if first is not None:
            yield (
                f"{errors.values[-1]:.0f} new uncorrected memory errors (ECC), the first {_at(recording, first)}, allowed are 0: "
                "results may be wrong; reset the GPU, and replace it if it happens again"
            )
    for xids in _of(series, ids.GPU_XIDS):
        first = next((stamp for stamp, value in zip(xids.stamps_ns, xids.values, strict=True) if value > 0), None)
        if first is not None:
            code = dict(xids.labels).get("xid", "?")
            yield f"critical error Xid {code} ({xids.values[-1]:.0f} in all), the first {_at(recording, first)}, allowed are 0"


def _foreign(series: list[Series], recording: Recording) -> Iterator[str]:
    """Of a process whose owner nobody can tell, that it came during the run is enough: a deployment has all of its own before."""
    for process in _of(series, ids.GPU_PROCESS):
        labels = dict(process.labels)
        who = f"process {labels.get('pid')} ({labels.get('name', '?')})"
        seen = spell(process, recording, lambda value: value > 0)
        if labels.get("own") == "no" and seen is not None:
            yield f"{who} is not of this deployment and used it {seen.text(recording.duration_s)}: end it, or take another GPU"
        if labels.get("own") == "unknown" and process.values[0] == 0 and seen is not None:
            yield f"{who} came during the run and used it {seen.text(recording.duration_s)}; whose it is cannot be told from here"


def _unexplained(series: list[Series], recording: Recording) -> Iterator[str]:
    for memory in _of(series, ids.GPU_MEMORY_UNEXPLAINED):
        least = memory.values[0]
        grown = spell(memory, recording, _more_than(least))
        if grown is not None:
            most = max(within(memory, recording) or memory.values) - least
            yield (
                f"{most / _MIB:.0f} MiB of memory that no listed process explains came {grown.text(recording.duration_s)}, allowed are "
                f"{MAX_UNEXPLAINED_BYTES // _MIB} MiB: somebody else uses it"
            )


def _idle(series: list[Series], recording: Recording) -> Iterator[str]:
    answered = len(successful(recording))
    for utilization in _of(series, ids.GPU_UTILIZATION):
        values = within(utilization, recording)
        if not answered or len(values) < MIN_IDLE_READINGS or recording.duration_s < MIN_IDLE_WINDOW_S or any(values):
            continue
        yield (
            f"its utilization was 0 in all {len(values)} readings of {recording.duration_s:.1f} s while {answered} requests were answered: "
            "the worker on it is not working"
        )


def _missing(series: list[Series], recording: Recording) -> Iterator[str]:
    """``present`` stands for the reading as such; a field that has stopped counts from its own readings."""
    told = {ids.GPU_CLOCK_REASONS: "clock event reasons", ids.GPU_MEMORY_USED: "memory", ids.GPU_ECC_UNCORRECTED: "ECC errors"}
    for present in _of(series, ids.GPU_PRESENT):
        share = uncovered_share(present.stamps_ns, recording)
        if share > MAX_MISSING_SHARE:
            yield f"no readings for {share:.0%} of the window, allowed {MAX_MISSING_SHARE:.0%}: what it did then is unknown"
            return
        for one in series:
            share = uncovered_share(one.stamps_ns, recording, usual_of=present.stamps_ns)
            if one.id in told and share > MAX_MISSING_SHARE:
                yield f"{told[one.id]} not read for {share:.0%} of the window, allowed {MAX_MISSING_SHARE:.0%}: what it did then is unknown"
