"""Pairs of runs as plain JSON types: per metric the values of both arms, pair by pair, and what else the runs were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.measurement.measurement import Duet, Pair
from pytest_dynperf.report.json_measurement import decode_run, encode_metrics, encode_run, values_per_run
from pytest_dynperf.report.plain import take, take_all, take_map, take_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.metrics.definition import Cell, Meaning

_ARMS = ("candidate", "control")


def encode_duet(duet: Duet | None, meanings: Mapping[str, Meaning]) -> dict[str, object] | None:
    """The key ``duet`` of a case."""
    if duet is None:
        return None
    return {
        "control": duet.control,
        "layout": duet.layout,
        "control_provenance": dict(sorted(duet.control_provenance.items())),
        "problems": list(duet.problems),
        "metrics": _encode_metrics(duet, meanings),
        "pairs": [_encode_pair(pair) for pair in duet.pairs],
        "discarded": [_encode_pair(pair) for pair in duet.discarded],
    }


def _encode_metrics(duet: Duet, meanings: Mapping[str, Meaning]) -> list[dict[str, object]]:
    """One entry per cell that either arm has: the values of ``candidate`` and of ``control``, ``null`` where no run of the arm has one."""
    count = len(duet.pairs)
    both = encode_metrics([*(pair.candidate for pair in duet.pairs), *(pair.control for pair in duet.pairs)], (), meanings)
    metrics = []
    for metric in both:
        values = metric.pop("values")
        arms = (values[:count], values[count:]) if isinstance(values, list) else (None, None)
        metrics.append(metric | {arm: None if per_run is None else list(per_run) for arm, per_run in zip(_ARMS, arms, strict=True)})
    return metrics


def _encode_pair(pair: Pair) -> dict[str, object]:
    return {"candidate_first": pair.candidate_first, "candidate": encode_run(pair.candidate), "control": encode_run(pair.control)}


def decode_duet(table: Mapping[str, object] | None) -> Duet | None:
    """The duet that :func:`encode_duet` wrote.

    :raises UsageError: when a key is missing or of another type.
    """
    if table is None:
        return None
    metrics, pairs = take_all(table, "metrics", dict), take_all(table, "pairs", dict)
    values = zip(*(values_per_run(metrics, arm, len(pairs)) for arm in _ARMS), strict=True)
    return Duet(
        pairs=tuple(_decode_pair(pair, *of_pair) for pair, of_pair in zip(pairs, values, strict=True)),
        control=take(table, "control", str),
        layout=take(table, "layout", str),
        control_provenance=take_map(table, "control_provenance", str),
        discarded=tuple(_decode_pair(pair, {}, {}) for pair in take_all(table, "discarded", dict)),
        problems=take_all(table, "problems", str),
    )


def _decode_pair(table: Mapping[str, object], candidate: Mapping[Cell, float], control: Mapping[Cell, float]) -> Pair:
    return Pair(
        candidate=decode_run(take_table(table, "candidate"), candidate),
        control=decode_run(take_table(table, "control"), control),
        candidate_first=take(table, "candidate_first", bool),
    )


def runs_of(duet: Duet | None) -> Iterator[Run]:
    """Every run of every pair, the discarded ones too."""
    for pair in () if duet is None else (*duet.pairs, *duet.discarded):
        yield pair.candidate
        yield pair.control
