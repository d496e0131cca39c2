"""The pages of one service over time, as series. Pure.

Counters and histograms are summed over their label sets (buckets by bound, counters apart by the labels that their name keeps); each label
set of a gauge is a series of its own. Readings that are not finite are left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from pytest_dynperf.metrics.series_ids import BUCKET, SUM
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.telemetry.counter import cumulated
from pytest_dynperf.telemetry.names import BY_SAMPLE, TABLE, Form, Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.telemetry.prometheus import Labels, Page, Sample

RAW = "raw:"


class _Key(NamedTuple):
    """What becomes one series. ``labels`` are those that it keeps."""

    series: str
    name: str
    kind: SeriesKind
    labels: Labels
    scale: float


_Readings = dict[int, dict["Labels", float]]
"""Number of the page → label set → value."""


def series_of(source: str, stamps_ns: Sequence[int], pages: Sequence[Page], *, raw: bool = False) -> tuple[Series, ...]:
    """The series of one service, in the order of the table. ``stamps_ns`` are those of the pages.

    With ``raw``, names that the table does not have follow, each label set for itself, as ``raw:NAME``.
    """
    columns: defaultdict[_Key, _Readings] = defaultdict(lambda: defaultdict(dict))
    for number, page in enumerate(pages):
        for sample in page.samples:
            if math.isfinite(sample.value):
                for key in _keys(sample, raw=raw):
                    columns[key][number][sample.labels] = sample.value
    places = {name.name: place for place, name in reversed(list(enumerate(TABLE)))}
    chosen: dict[str, str] = {}
    for key in sorted(columns, key=lambda key: places.get(key.name, len(places))):
        chosen.setdefault(key.series, key.name)
    return tuple(
        _series(source, key, readings, stamps_ns)
        for key, readings in sorted(columns.items(), key=lambda item: (places.get(item[0].name, len(places)), item[0].series))
        if chosen[key.series] == key.name
    )


def _keys(sample: Sample, *, raw: bool) -> list[_Key]:
    known = BY_SAMPLE.get(sample.name)
    if known is None:
        return [_raw_key(sample)] if raw else []
    return [_key(sample, name, part) for name, part in known if set(name.where) <= set(sample.labels)]


def _key(sample: Sample, name: Name, part: str) -> _Key:
    if name.form is Form.GAUGE:
        return _Key(name.series, name.name, SeriesKind.GAUGE, sample.labels, name.scale)
    if part == BUCKET:
        bound = f"{float(dict(sample.labels)['le']) * name.scale:.9g}"
        return _Key(name.series + part, name.name, SeriesKind.HISTOGRAM_PART, (("le", bound),), 1.0)
    kind = SeriesKind.HISTOGRAM_PART if part else SeriesKind.COUNTER
    kept = tuple(label for label in sample.labels if label[0] in name.keep)
    return _Key(name.series + part, name.name, kind, kept, name.scale if part in {"", SUM} else 1.0)


def _raw_key(sample: Sample) -> _Key:
    part = sample.type in {"histogram", "summary"} and sample.name.endswith(("_sum", "_count", "_bucket"))
    counter = SeriesKind.COUNTER if sample.type == "counter" else SeriesKind.GAUGE
    return _Key(RAW + sample.name, sample.name, SeriesKind.HISTOGRAM_PART if part else counter, sample.labels, 1.0)


def _series(source: str, key: _Key, readings: _Readings, stamps_ns: Sequence[int]) -> Series:
    if key.kind is SeriesKind.GAUGE:
        numbers: Sequence[int] = sorted(readings)
        values = tuple(readings[number][key.labels] * key.scale for number in numbers)
    else:
        numbers = range(len(stamps_ns))
        values = tuple(value * key.scale for value in cumulated([readings.get(number, {}) for number in numbers]))
    return Series(
        id=key.series,
        source=source,
        kind=key.kind,
        labels=key.labels,
        stamps_ns=tuple(stamps_ns[number] for number in numbers),
        values=values,
    )
