"""The text of a document read by a typed decoder: for the tens of thousands that are as they were written.

It vouches or it stays silent: whatever is not exactly a document of the newest schema gives ``None`` and no word of why, for
``strict_document`` to find the words. A typed decoder takes a key that is there twice without a sign, so the colons are counted:
between a key and its value stands one, and where no string holds one that is not accounted for there are as many as keys that were read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from pytest_dynperf.baseline.document import SCHEMA, Baseline, BaselineRun
from pytest_dynperf.baseline.strict_document import STAMP, cell_of, metrics_of
from pytest_dynperf.baseline.strict_json import Flaw, as_table, parsed, texts_at
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS, Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.metrics.definition import Cell

_COLON_ESCAPED = "\\u003"  # and nine others: a colon in a string that the text does not show as one

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Magnitude = Annotated[float, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


# The fields stand in the order of the text, in which the decoder finds them at once. Without the collector: they hold no loops.
class _Distribution(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    max: _Magnitude
    mean: _Magnitude
    min: _Magnitude
    n: _Count
    percentiles: dict[str, _Magnitude]
    sd: _Magnitude | None
    sd_log: _Magnitude | None


class _Run(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    distributions: dict[str, _Distribution]
    duration_s: _Magnitude
    errors: _Count
    parts: dict[str, tuple[_Magnitude, _Magnitude]]
    requests: _Count
    values: dict[str, _Magnitude]


class _Document(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    case_id: _Text
    environment: _Text
    epoch: _Count
    key: msgspec.Raw
    metrics: msgspec.Raw
    provenance: msgspec.Raw
    reason: _Text | None
    runs: list[_Run]
    schema: int
    session_id: _Text
    stamp: _Text
    suite: _Text


_DOCUMENT = msgspec.json.Decoder(_Document)
_RUN_KEYS, _DISTRIBUTION_KEYS, _DOCUMENT_KEYS = (len(kind.__struct_fields__) for kind in (_Run, _Distribution, _Document))

_Metrics = tuple[dict[str, str], dict[str, tuple[str | None, str | None]]]


def quickly(text: str) -> Baseline | None:
    """What ``strict_document`` would read, or ``None`` where it might refuse it or find another schema."""
    if "\\" in text and _COLON_ESCAPED in text:
        return None
    try:
        read = _DOCUMENT.decode(text)
        tables = bytes(read.key), bytes(read.metrics), bytes(read.provenance)
        key, metrics, provenance = _texts(tables[0]), _metrics(tables[1]), _texts(tables[2])
    except (msgspec.MsgspecError, Flaw, ValueError, RecursionError):
        return None
    if read.schema != SCHEMA or len(read.runs) < MINIMUM_RUNS or not STAMP.fullmatch(read.stamp):
        return None
    keys = _DOCUMENT_KEYS + sum([_keys_of(run) for run in read.runs])
    shown = f"{read.case_id}{read.environment}{read.reason}{read.session_id}{read.suite}".count(":")
    if text.count(":") != keys + shown + sum(table.count(b":") for table in tables):
        return None
    units, unknown = metrics
    runs = tuple([run for one in read.runs if (run := _run(one, units)) is not None])
    if len(runs) != len(read.runs):
        return None
    return Baseline(
        suite=read.suite,
        case_id=read.case_id,
        session_id=read.session_id,
        stamp=read.stamp,
        environment_name=read.environment,
        key=key.copy(),
        provenance=provenance.copy(),
        units=units.copy(),
        runs=runs,
        epoch=read.epoch,
        reason=read.reason,
        unknown_metrics=unknown.copy(),
    )


# The documents of a session and of a case share these tables, letter by letter. They are read strictly, so their colons are all known.


@lru_cache(maxsize=1024)
def _texts(raw: bytes) -> dict[str, str]:
    return texts_at({"it": parsed(raw.decode())}, "it", "the document")


@lru_cache(maxsize=1024)
def _metrics(raw: bytes) -> _Metrics:
    return metrics_of(as_table(parsed(raw.decode()), "metrics"))


def _keys_of(run: _Run) -> int:
    keys = _RUN_KEYS + len(run.values) + len(run.parts) + (1 + _DISTRIBUTION_KEYS) * len(run.distributions)
    for distribution in run.distributions.values():
        keys += len(distribution.percentiles)
    return keys


def _run(run: _Run, units: Mapping[str, str]) -> BaselineRun | None:
    cells = _cells(tuple(run.values))
    if cells is None or not (cells[1] | run.distributions.keys() | run.parts.keys()) <= units.keys():
        return None
    return BaselineRun(
        values=dict(zip(cells[0], run.values.values(), strict=True)),
        distributions={
            metric: Distribution(
                n=one.n, mean=one.mean, sd_log=one.sd_log, minimum=one.min, maximum=one.max, percentiles=one.percentiles, sd=one.sd
            )
            for metric, one in run.distributions.items()
        },
        requests=run.requests,
        errors=run.errors,
        duration_s=run.duration_s,
        parts=run.parts,
    )


@lru_cache(maxsize=1024)
def _cells(names: tuple[str, ...]) -> tuple[tuple[Cell, ...], frozenset[str]] | None:
    """And their metrics. The runs of a session hold the same."""
    cells = [cell_of(name) for name in names]
    known = tuple(cell for cell in cells if cell is not None)
    return (known, frozenset(cell.metric for cell in known)) if len(known) == len(cells) else None
