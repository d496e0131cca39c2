"""The file of one run's course over time: its requests in columns, and what the services and GPUs said meanwhile.

``series/<suite>/<case id>/<run>.json.gz``: one JSON object, compressed. Times are seconds since the first measured request was sent (before
it they are negative), values SI, both rounded to six significant digits: it is what a page draws, and no judgement reads it. Buckets of
histograms, processes on GPUs and names that we do not know are left out.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.errors import UsageError
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.observation.series import SeriesKind  # noqa: TC001 - msgspec reads the annotations when it decodes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.observation.series import Series

SCHEMA = 1
_LEFT_OUT = ("raw:", "gpu.process")
_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestColumns:
    """One entry per request that was sent, in the order of sending. ``first_s`` is the first content chunk, ``end_s`` the last one, where
    nothing came the end; ``None`` where it was not seen. ``tokens`` came. ``failed`` and ``measured`` are 0 or 1.
    """

    sent_s: tuple[float, ...] = ()
    first_s: tuple[float | None, ...] = ()
    end_s: tuple[float | None, ...] = ()
    tokens: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    measured: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesColumn:
    """A :class:`~pytest_dynperf.observation.series.Series` with times in seconds. ``labels`` without the names that tell nothing apart."""

    id: str
    source: str
    kind: SeriesKind
    labels: dict[str, str]
    at_s: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunColumns:
    """One run over time. ``duration_s`` is the length of its phase window, which begins at 0."""

    run: str
    duration_s: float
    requests: RequestColumns
    series: tuple[SeriesColumn, ...]
    schema: int = SCHEMA


def run_columns(recording: Recording) -> RunColumns:
    """What ``recording`` says over time. About 3 µs a request."""
    start = recording.window_start_ns
    return RunColumns(
        run=recording.run,
        duration_s=_six(recording.duration_s),
        requests=request_columns(recording.records, start),
        series=tuple(_column(one, start) for one in recording.series if _is_kept(one)),
    )


def request_columns(records: Iterable[RequestRecord], start_ns: int) -> RequestColumns:
    """The columns of the requests that were sent; times since ``start_ns``."""
    sent = sorted((record for record in records if record.sent_ns is not None), key=lambda record: record.sent_ns or 0)
    return RequestColumns(
        sent_s=tuple(_six(((record.sent_ns or 0) - start_ns) / 1e9) for record in sent),
        first_s=tuple(_since(record.chunk_ns[0] if record.chunk_ns else None, start_ns) for record in sent),
        end_s=tuple(_since(record.chunk_ns[-1] if record.chunk_ns else record.end_ns, start_ns) for record in sent),
        tokens=tuple(record.completion_tokens if record.completion_tokens is not None else len(record.chunk_ns) for record in sent),
        failed=tuple(int(_failed(record)) for record in sent),
        measured=tuple(int(record.measured) for record in sent),
    )


def _failed(record: RequestRecord) -> bool:
    """What was still in flight when the last measured request had ended was cancelled, and has not failed."""
    return record.error is not None and (record.measured or record.error.kind is not FailureKind.CANCELLED)


def encode(columns: RunColumns) -> bytes:
    """The file's content, the same for the same columns."""
    return gzip.compress(msgspec.json.encode(columns), _LEVEL, mtime=0)


def read_columns(path: Path) -> RunColumns:
    """The columns in a file. About 25 ms per MiB of unpacked text.

    :raises UsageError: when the file cannot be read, or is none of ours; names it.
    """
    try:
        columns = msgspec.json.decode(gzip.decompress(path.read_bytes()), type=RunColumns)
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as the course of a run: {error}. Delete it: the page is made without it."
        raise UsageError(msg) from error
    if columns.schema != SCHEMA or not _is_even(columns):
        msg = f"{path}: schema {columns.schema}, and this version reads {SCHEMA}; or its columns differ in length. Delete it."
        raise UsageError(msg)
    return columns


def _is_even(columns: RunColumns) -> bool:
    asked = columns.requests
    lengths = {len(one) for one in (asked.sent_s, asked.first_s, asked.end_s, asked.tokens, asked.failed, asked.measured)}
    return len(lengths) == 1 and all(len(one.at_s) == len(one.values) for one in columns.series)


def _is_kept(series: Series) -> bool:
    named = dict(series.labels)
    return bool(series.stamps_ns) and "le" not in named and not series.id.startswith(_LEFT_OUT)


def _column(series: Series, start_ns: int) -> SeriesColumn:
    return SeriesColumn(
        id=series.id,
        source=series.source,
        kind=series.kind,
        labels=dict(series.labels),
        at_s=tuple(_six((stamp - start_ns) / 1e9) for stamp in series.stamps_ns),
        values=tuple(map(_six, series.values)),
    )


def _since(stamp_ns: int | None, start_ns: int) -> float | None:
    return None if stamp_ns is None else _six((stamp_ns - start_ns) / 1e9)


def _six(value: float) -> float:
    return float(f"{value:.6g}")
