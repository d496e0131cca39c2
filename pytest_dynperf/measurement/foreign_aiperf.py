"""AIPerf's ``profile_export_aiperf.json`` (schema none and 1.0 to 1.5), with or without the ``profile_export.jsonl`` of the same run.

Metrics stand at the top level or under ``records``; ``unit`` says what a number is. Throughputs are read as stored: AIPerf divides by
its phase window, not by ``benchmark_duration``. Latencies are computed from the requests where there are any, and must agree with the JSON.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.foreign import SAME, Asked, ForeignRun, contradictions, too_few
from pytest_dynperf.measurement.foreign_aiperf_config import asked_of
from pytest_dynperf.measurement.foreign_recording import computed, failure_of, tally
from pytest_dynperf.measurement.measurement import Distribution
from pytest_dynperf.metrics.catalogue import CATALOGUE, statistics
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.statistic import PERCENTILES
from pytest_dynperf.quantity import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dynperf.measurement.foreign_table import Table
    from pytest_dynperf.observation.request_record import Failure, RequestRecord

TOOL = "AIPerf"

UNITS = {
    "s": (Unit.SECONDS, 1.0),
    "sec": (Unit.SECONDS, 1.0),
    "ms": (Unit.SECONDS, 1e-3),
    "us": (Unit.SECONDS, 1e-6),
    "µs": (Unit.SECONDS, 1e-6),
    "ns": (Unit.SECONDS, 1e-9),
    "tokens": (Unit.TOKENS, 1.0),
    "requests": (Unit.REQUESTS, 1.0),
    "tokens/sec": (Unit.TOKENS_PER_SECOND, 1.0),
    "tokens/sec/user": (Unit.TOKENS_PER_SECOND_PER_USER, 1.0),
    "requests/sec": (Unit.REQUESTS_PER_SECOND, 1.0),
    "ratio": (Unit.RATIO, 1.0),
    "%": (Unit.RATIO, 0.01),
}
"""AIPerf's symbols: our unit, and what a number is multiplied by."""

OTHERWISE_DEFINED = frozenset({"effective_latency.v1"})
"""AIPerf's own statistics of these hold failed requests too; ours are of successful ones, computed from the requests."""

_RETOKENIZED = "AIPerf counted tokens by a tokenizer of its own: measure again with --use-server-token-count"


def looks_like(table: Table) -> bool:
    """Whether a JSON object is AIPerf's summary of one run."""
    metrics = _metrics(table)
    return any(isinstance(metrics.data.get(name), dict) for name in ("request_latency", "request_count", "request_throughput"))


def read_summary(table: Table) -> ForeignRun:
    """One run from the JSON alone.

    :raises UsageError: for a value that is not what it must be; names file and key.
    """
    metrics = _metrics(table)
    failures, times = _error_summary(table)
    succeeded = round(_average(metrics, "request_count", Unit.REQUESTS) or 0)
    errors = round(_average(metrics, "error_request_count", Unit.REQUESTS) or 0) or sum(times)
    kinds: dict[str, int] = {}
    for failure, count in zip(failures, times, strict=True):
        kinds[failure.kind.value] = kinds.get(failure.kind.value, 0) + count
    asked = asked_of(table)
    values, distributions = _values(metrics, succeeded)
    return ForeignRun(
        file=table.file,
        tool=table.text("load_generator") or TOOL,  # AIPerf does not write it; our exports do
        version=table.text("load_generator_version") or table.text("aiperf_version"),
        asked=asked,
        requests=succeeded + errors,
        errors=errors,
        error_kinds=kinds,
        error_detail=failures[0].detail if failures else "",
        duration_s=_window_s(metrics, succeeded),
        mean_in_flight=_mean_in_flight(metrics),
        values=values,
        distributions=distributions,
        problems=(*_ended_early(table), *_token_counts(metrics, succeeded, asked)),
        notes=_notes(metrics),
    )


def with_records(summary: ForeignRun, records: Sequence[RequestRecord], *, records_file: str, unfounded: frozenset[str]) -> ForeignRun:
    """``summary`` with every latency and length computed from the requests; rates and shares stay as AIPerf states them, and so do the
    metrics of ``unfounded``, which the requests do not give.
    """
    found = computed(records, duration_s=summary.duration_s, name="imported", asked=summary.asked)
    given = {cell: value for cell, value in found.values.items() if cell.metric not in unfounded}
    values = {**summary.values, **given, **{cell: value for cell, value in summary.values.items() if cell.statistic == "value"}}
    distributions = {**summary.distributions, **{name: one for name, one in found.distributions.items() if name not in unfounded}}
    measured = [record for record in records if record.measured]
    failed = [record.error for record in measured if record.error is not None]
    if len(measured) == summary.requests:
        comparable = {cell: value for cell, value in given.items() if cell.metric not in OTHERWISE_DEFINED}
        problems = tuple(contradictions(summary.values, comparable, file=summary.file))
    else:
        counted = f"{summary.file} counts {summary.requests} requests, {records_file} holds {len(measured)}"
        problems = (f"{counted}: the files do not belong to one run, or one is cut short",)
    return replace(
        summary,
        values=values,
        distributions=distributions,
        error_kinds=tally(failed) or summary.error_kinds,
        error_detail=failed[0].detail if failed else summary.error_detail,
        problems=(*summary.problems, *problems),
        records=tuple(records),
    )


def _metrics(table: Table) -> Table:
    return table.table("records") or table


def _average(metrics: Table, name: str, unit: Unit) -> float | None:
    block = metrics.table(name)
    if block is None:
        return None
    found = block.number("avg")
    return None if found is None else found * _factor(block, unit)


def _factor(block: Table, unit: Unit) -> float:
    """What numbers of ``block`` are multiplied by.

    :raises UsageError: where the block's unit is not known, or is not a form of ``unit``.
    """
    symbol = block.text("unit")
    ours, factor = UNITS.get((symbol or "").lower(), (None, 0.0))
    if ours is not unit:
        block.refuse("unit", symbol, f"a unit of {unit.value} ({', '.join(text for text, (known, _) in UNITS.items() if known is unit)})")
    return factor


def _values(metrics: Table, succeeded: int) -> tuple[dict[Cell, float], dict[str, Distribution]]:
    """What AIPerf and the catalogue call by the same name. Nothing where no request succeeded: then there is nothing to state."""
    values: dict[Cell, float] = {}
    distributions: dict[str, Distribution] = {}
    for definition in CATALOGUE.values():
        block = metrics.table(definition.name)
        if block is None or not succeeded:
            continue
        factor = _factor(block, definition.unit)
        if definition.value is not None:
            found = block.number("avg")
            if found is not None:
                values[Cell(definition.id, "value")] = found * factor
            continue
        count = round(block.number("count") or succeeded)
        for name in statistics(definition):
            found = block.number("avg" if name == "mean" else name)
            if found is not None and too_few(count, name) is None:
                values[Cell(definition.id, name)] = found * factor
        distribution = _distribution(block, count, factor)
        if distribution is not None:
            distributions[definition.id] = distribution
    return values, distributions


def _distribution(block: Table, count: int, factor: float) -> Distribution | None:
    mean, minimum, maximum = (block.number(name) for name in ("avg", "min", "max"))
    if mean is None or minimum is None or maximum is None:
        return None
    spread = block.number("std")
    percentiles = {name: block.number(name) for name in PERCENTILES if too_few(count, name) is None}
    return Distribution(
        n=count,
        mean=mean * factor,
        sd_log=None,
        sd=None if spread is None else spread * factor,
        minimum=minimum * factor,
        maximum=maximum * factor,
        percentiles={name: value * factor for name, value in percentiles.items() if value is not None},
    )


def _window_s(metrics: Table, succeeded: int) -> float:
    """The window that the stored throughput was divided by; ``benchmark_duration`` is shorter, and only the last resort."""
    throughput = _average(metrics, "request_throughput", Unit.REQUESTS_PER_SECOND)
    if throughput and succeeded:
        return succeeded / throughput
    return _average(metrics, "benchmark_duration", Unit.SECONDS) or 0.0


def _mean_in_flight(metrics: Table) -> float | None:
    """As stated; else throughput × mean latency (Little), which is the same number where AIPerf states both."""
    stated = _average(metrics, "effective_concurrency", Unit.REQUESTS)
    throughput = _average(metrics, "request_throughput", Unit.REQUESTS_PER_SECOND)
    latency = _average(metrics, "request_latency", Unit.SECONDS)
    return stated if stated is not None else throughput * latency if throughput is not None and latency is not None else None


def _error_summary(table: Table) -> tuple[list[Failure], list[int]]:
    failures, times = [], []
    for place, row in enumerate(table.rows("error_summary")):
        entry = table.row(f"error_summary[{place}]", row)
        details = entry.table("error_details")
        count = entry.number("count")
        if details is None or count is None:
            entry.refuse("count", row, "an object with error_details and count")
        status = details.number("code")
        failures.append(
            failure_of(
                status=None if status is None else int(status), kind=details.text("type") or "", message=details.text("message") or ""
            )
        )
        times.append(round(count))
    return failures, times


def _ended_early(table: Table) -> Iterator[str]:
    if table.data.get("was_cancelled") is True:
        yield f"{table.file}: was_cancelled is true: the run was stopped before its end"
    if table.data.get("is_complete") is False:
        yield f"{table.file}: is_complete is false: {table.text('incomplete_reason') or 'AIPerf gives no reason'}"


def _token_counts(metrics: Table, succeeded: int, asked: Asked) -> Iterator[str]:
    """Two counts of the same tokens must agree; every success must have one; and where the end was ignored, all are the OSL."""
    block, usage = metrics.table("output_sequence_length"), metrics.table("usage_completion_tokens")
    if block is None:
        return
    counted = block.number("avg")
    told = usage.number("avg") if usage is not None else None
    if counted is not None and told is not None and abs(counted - told) > SAME * told:
        yield (
            f"{metrics.file}: output_sequence_length is {counted:g} tokens on average, usage_completion_tokens is {told:g}: "
            f"off by {counted / told - 1:+.1%}, and ITL and throughput with it. {_RETOKENIZED}"
        )
        return
    samples = block.number("count")
    if samples is not None and samples < succeeded:
        yield (
            f"{metrics.file}: {succeeded - samples:g} of {succeeded} requests that AIPerf counts as successful have no token count: "
            "an answer that broke off or carried an error; its times are among the latencies"
        )
    least, most = block.number("min"), block.number("max")
    if asked.ignore_eos and asked.osl is not None and not asked.osl_stddev and {least, most} - {None, float(asked.osl)}:
        yield (
            f"{metrics.file}: output_sequence_length is {least:g} to {most:g} tokens, asked was OSL {asked.osl} exactly (ignore_eos). "
            f"If the server sent that many, {_RETOKENIZED}"
        )


def _notes(metrics: Table) -> tuple[str, ...]:
    if metrics.table("usage_completion_tokens") is None and metrics.table("output_sequence_length") is not None:
        return ("the file holds no token counts of the server, so those of AIPerf could not be checked",)
    return ()
