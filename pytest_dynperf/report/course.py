"""The course of a run as lines to draw: which quantities, in which order, in which unit. Arranges what was read; judges nothing.

Requests are drawn at the instant at which they were sent. Tokens per second spread the tokens of a request evenly from its first chunk to
its last. Counters become rates between readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.series import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_dynperf.observation.run_columns import RequestColumns, RunColumns, SeriesColumn

_RATE_STRETCHES = 120
_OURS = frozenset(value for name, value in vars(ids).items() if name.isupper())
"""Ids that are known here; others are those of extensions."""

TITLES = {
    ids.FRONTEND_REQUESTS_IN_FLIGHT: ("frontend: requests in flight", "requests", 1.0),
    ids.FRONTEND_REQUESTS_QUEUED: ("frontend: requests queued", "requests", 1.0),
    ids.ROUTER_REQUESTS_PENDING: ("router: requests pending", "requests", 1.0),
    ids.ENGINE_REQUESTS_RUNNING: ("engine: requests running", "requests", 1.0),
    ids.ENGINE_REQUESTS_WAITING: ("engine: requests waiting", "requests", 1.0),
    ids.ENGINE_KV_CACHE_USAGE: ("engine: KV cache in use", "%", 100.0),
    ids.ENGINE_GENERATED_TOKENS: ("engine: tokens generated", "tok/s", 1.0),
    ids.ENGINE_PROMPT_TOKENS: ("engine: prompt tokens", "tok/s", 1.0),
    ids.ENGINE_PREEMPTIONS: ("engine: preemptions", "1/s", 1.0),
    ids.ENGINE_PREFIX_HITS: ("engine: tokens found in the prefix cache", "tok/s", 1.0),
    ids.ENGINE_EXTERNAL_HITS: ("engine: tokens found in outer tiers", "tok/s", 1.0),
    ids.ENGINE_ACCEPTED_TOKENS: ("engine: drafted tokens accepted", "tok/s", 1.0),
    ids.KVBM_ONBOARDED_BLOCKS: ("KVBM: blocks from the host", "blocks/s", 1.0),
    ids.KVBM_ONBOARDED_FROM_DISK: ("KVBM: blocks from disk", "blocks/s", 1.0),
    ids.KV_TRANSFERRED_BYTES: ("KV transfer", "MB/s", 1e-6),
    ids.FRONTEND_MIGRATIONS: ("frontend: migrations", "1/s", 1.0),
    ids.GPU_SM_CLOCK: ("GPU: SM clock", "MHz", 1e-6),
    ids.GPU_POWER: ("GPU: power", "W", 1.0),
    ids.GPU_TEMPERATURE: ("GPU: temperature", "°C", 1.0),
    ids.GPU_UTILIZATION: ("GPU: utilization", "%", 100.0),
    ids.GPU_MEMORY_USED: ("GPU: memory in use", "GiB", 1 / (1 << 30)),
}
"""Title, unit and factor of what is drawn of services and GPUs, in the order of the page. What is not here is in the file alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``count`` readings or requests; points rise in ``at_s``."""

    label: str
    at_s: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One drawing of a run. ``dots`` for values that stand alone, ``steps`` for what keeps its value until the next, else lines.
    ``group`` is ``load``, ``server`` or ``GPU``. ``measured``: it
    shows what metrics are made of, which is withheld of an invalid run.
    """

    title: str
    unit: str
    group: str
    lines: tuple[Line, ...]
    dots: bool = False
    steps: bool = False
    measured: bool = False


def panels(run: RunColumns) -> list[Panel]:
    """What can be drawn of a run: requests first, then services, then GPUs, then what extensions brought, by its id. About 1 ms and 1 µs a
    request.
    """
    found = [panel for panel in _of_requests(run.requests, run.duration_s) if panel.lines]
    by_id: dict[str, list[SeriesColumn]] = {}
    for series in run.series:
        by_id.setdefault(series.id, []).append(series)
    titles = {**TITLES, **{name: (name, _foreign_unit(of[0]), 1.0) for name, of in by_id.items() if _is_foreign(name)}}
    for name, (title, unit, factor) in titles.items():
        lines = [line for series in by_id.get(name, ()) if (line := _line(series, factor)) is not None]
        if lines and any(np.any(line.values != 0) for line in lines):
            found.append(Panel(title=title, unit=unit, group="GPU" if name.startswith("gpu.") else "server", lines=tuple(lines)))
    return found


def _is_foreign(name: str) -> bool:
    return name.removesuffix(ids.SUM).removesuffix(ids.COUNT) not in _OURS


def _foreign_unit(series: SeriesColumn) -> str:
    return "as it is" if series.kind is SeriesKind.GAUGE else "per second"


def broken(run: RunColumns) -> tuple[tuple[float, float], ...]:
    """When a fault was active: from, to (the end of the run where it was never undone); seconds."""
    spans = []
    for series in run.series:
        if series.id == ids.FAULT_ACTIVE:
            begun = None
            for at, value in zip(series.at_s, series.values, strict=True):
                if value and begun is None:
                    begun = at
                elif not value and begun is not None:
                    spans.append((begun, at))
                    begun = None
            if begun is not None:
                spans.append((begun, max(run.duration_s, begun)))
    return tuple(spans)


def _of_requests(asked: RequestColumns, duration_s: float) -> list[Panel]:
    sent = _floats(asked.sent_s)
    if not len(sent):
        return []
    first, end = _floats(asked.first_s), _floats(asked.end_s)
    failed = np.asarray(asked.failed, dtype=bool)
    well = ~failed
    return [
        Panel(
            title="time to first token of each request",
            unit="ms",
            group="load",
            lines=_dots(sent, first, well, "TTFT"),
            dots=True,
            measured=True,
        ),
        Panel(title="latency of each request", unit="ms", group="load", lines=_dots(sent, end, well, "latency"), dots=True, measured=True),
        Panel(title="requests in flight", unit="requests", group="load", lines=(_in_flight(sent, end),), steps=True),
        Panel(title="output tokens", unit="tok/s", group="load", lines=_tokens(first, end, asked.tokens, duration_s), measured=True),
        Panel(title="requests that failed", unit="so far", group="load", lines=_failures(sent, failed), steps=True),
    ]


def _dots(sent: NDArray[np.float64], until: NDArray[np.float64], well: NDArray[np.bool_], label: str) -> tuple[Line, ...]:
    seen = well & np.isfinite(until)
    return (Line(label=label, at_s=sent[seen], values=(until - sent)[seen] * 1e3),) if seen.any() else ()


def _in_flight(sent: NDArray[np.float64], end: NDArray[np.float64]) -> Line:
    ended = end[np.isfinite(end)]
    at = np.concatenate((sent, ended))
    order = np.argsort(at, kind="stable")
    steps = np.concatenate((np.ones(len(sent)), -np.ones(len(ended))))[order]
    return Line(label="in flight", at_s=at[order], values=np.cumsum(steps))


def _tokens(first: NDArray[np.float64], end: NDArray[np.float64], tokens: Sequence[int], duration_s: float) -> tuple[Line, ...]:
    seen = np.isfinite(first) & np.isfinite(end) & (np.asarray(tokens) > 0)
    if not seen.any() or not duration_s > 0:
        return ()
    begun, ended, came = first[seen], np.maximum(end[seen], first[seen] + 1e-3), np.asarray(tokens, dtype=np.float64)[seen]
    edges = np.linspace(0.0, duration_s, _RATE_STRETCHES + 1)
    # Tokens that had come by each edge: a ramp per request, summed by the instants at which ramps begin and end.
    rate = came / (ended - begun)
    at = np.concatenate((begun, ended))
    order = np.argsort(at)
    slope = np.cumsum(np.concatenate((rate, -rate))[order])
    places = np.concatenate(([min(0.0, float(at[order][0]))], at[order]))
    grown = np.concatenate(([0.0, 0.0], np.cumsum(slope[:-1] * np.diff(at[order]))))
    by_edge = np.interp(edges, places, grown)
    return (Line(label="output", at_s=(edges[1:] + edges[:-1]) / 2, values=np.diff(by_edge) / np.diff(edges)),)


def _failures(sent: NDArray[np.float64], failed: NDArray[np.bool_]) -> tuple[Line, ...]:
    return (Line(label="failed", at_s=sent, values=np.cumsum(failed).astype(np.float64)),) if failed.any() else ()


def _line(series: SeriesColumn, factor: float) -> Line | None:
    at, values = _floats(series.at_s), _floats(series.values) * factor
    if series.kind is not SeriesKind.GAUGE:
        if len(at) < 2:
            return None
        span = np.diff(at)
        apart = span > 0
        at, values = ((at[1:] + at[:-1]) / 2)[apart], np.diff(values)[apart] / span[apart]
    if not len(at):
        return None
    return Line(label=_label(series), at_s=at, values=values)


def _label(series: SeriesColumn) -> str:
    if "gpu" in series.labels:
        return f"GPU {series.labels['gpu']}"
    return " ".join([series.source, *series.labels.values()])


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return (
        np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
        if None in values
        else np.asarray(values, dtype=np.float64)
    )
