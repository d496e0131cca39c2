"""AIPerf's ``profile_export.jsonl``: one JSON object per request, read into our request records.

Stamps come from AIPerf's clock (CLOCK_REALTIME): differences are those that AIPerf measured, to the nanosecond. Where
``inter_chunk_latency`` is missing, a request has the stamps of its first and its last content chunk alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.foreign_aiperf import UNITS
from pytest_dynperf.measurement.foreign_recording import failure_of
from pytest_dynperf.measurement.foreign_table import Table, parse
from pytest_dynperf.observation.request_record import RequestRecord
from pytest_dynperf.quantity import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dynperf.observation.request_record import Failure
    from pytest_dynperf.scenario.traffic import Traffic


OF_CHUNKS = frozenset({"inter_chunk_latency.v1", "time_to_second_token.v1", "stall.v1"})
"""What needs the stamps of all chunks."""

OF_THE_FIRST_CHUNK = frozenset({"inter_token_latency.v1", "output_token_throughput_per_user.v1"})
"""What needs the number of tokens in the first chunk, where it is not 1 (``--per-chunk-usage``): AIPerf knows it and does not write it."""


def read_records(
    lines: Iterable[str | bytes], *, file: str, run: str, traffic: Traffic
) -> tuple[tuple[RequestRecord, ...], frozenset[str]]:
    """Records in the order in which they were sent, and the ids of the metrics that they do not give although AIPerf knew them.

    :raises UsageError: for a line that is no record; names file, line and key.
    """
    tables = [parse(line, file=f"{file}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    tables.sort(key=lambda table: _required(_metadata(table), "request_start_ns"))
    several_turns = any((_metadata(table).number("turn_index") or 0) > 0 for table in tables)
    records = []
    unfounded: set[str] = set()
    for index, table in enumerate(tables):
        record, complete = _record(table, index=index, run=run, traffic=traffic, several_turns=several_turns)
        records.append(record)
        if record.error is None:
            unfounded |= (frozenset() if complete else OF_CHUNKS) | (OF_THE_FIRST_CHUNK if _bundled(table, record) else frozenset())
    return tuple(records), frozenset(unfounded)


def _bundled(table: Table, record: RequestRecord) -> bool:
    """Whether AIPerf's inter-token latency is not that of a first chunk of one token."""
    metrics = table.table("metrics")
    stated = _nanoseconds(metrics, "inter_token_latency") if metrics is not None else None
    if stated is None or not record.chunk_ns or record.completion_tokens is None or record.completion_tokens < 2:
        return False
    ours = (record.chunk_ns[-1] - record.chunk_ns[0]) / (record.completion_tokens - 1)
    return abs(stated - ours) > 1 + 1e-6 * ours


def _record(table: Table, *, index: int, run: str, traffic: Traffic, several_turns: bool) -> tuple[RequestRecord, bool]:
    metadata = _metadata(table)
    metrics = table.table("metrics") or Table(file=table.file, key="metrics", data={})
    sent_ns = _required(metadata, "request_start_ns")
    error = _error(table)
    chunks, complete = _chunks(metrics, sent_ns)
    first_output = _nanoseconds(metrics, "time_to_first_output_token")
    completion = _tokens(metrics, "usage_completion_tokens")
    prompt = _tokens(metrics, "usage_prompt_tokens")
    reused = _value(metrics, "http_req_connection_reused")
    return RequestRecord(
        request_id=metadata.text("x_request_id") or f"r{index}",
        run=run,
        index=index,
        measured=metadata.text("benchmark_phase") != "warmup",
        isl_requested=traffic.isl,
        osl_requested=traffic.osl,
        conversation=metadata.text("conversation_id") if several_turns else None,
        turn=int(metadata.number("turn_index") or 0),
        scheduled_ns=_whole(metadata, "credit_issued_ns") or sent_ns,
        sent_ns=sent_ns,
        first_byte_ns=_whole(metadata, "request_ack_ns"),
        chunk_ns=chunks,
        first_output_ns=None if first_output is None else sent_ns + first_output,
        end_ns=_whole(metadata, "request_end_ns"),
        http_status=200 if error is None else _status(table),
        prompt_tokens=prompt if prompt is not None else _tokens(metrics, "input_sequence_length"),
        completion_tokens=completion if completion is not None else _tokens(metrics, "output_sequence_length"),
        cached_tokens=_tokens(metrics, "usage_prompt_cache_read_tokens"),
        connection_reused=None if reused is None else bool(reused),
        coalesced=sum(later == earlier for earlier, later in pairwise(chunks)),
        error=error,
    ), complete


def _metadata(table: Table) -> Table:
    found = table.table("metadata")
    if found is None:
        table.refuse("metadata", None, "an object")
    return found


def _chunks(metrics: Table, sent_ns: int) -> tuple[tuple[int, ...], bool]:
    """Stamps of the content chunks, and whether they are all that there were."""
    first, latency = _nanoseconds(metrics, "time_to_first_token"), _nanoseconds(metrics, "request_latency")
    if first is None:
        return (), False
    block = metrics.table("inter_chunk_latency")
    if block is None:
        return ((sent_ns + first,), True) if latency in (None, first) else ((sent_ns + first, sent_ns + (latency or 0)), False)
    scale = _scale(block)
    stamps = [sent_ns + first]
    for gap in _numbers(block):
        stamps.append(stamps[-1] + round(gap * scale))
    return tuple(stamps), True


def _numbers(block: Table) -> Iterator[float]:
    for place, value in enumerate(block.rows("value")):
        found = Table(file=block.file, key=block.key, data={f"value[{place}]": value}).number(f"value[{place}]")
        if found is None:
            block.refuse(f"value[{place}]", value, "a finite number")
        yield found


def _error(table: Table) -> Failure | None:
    error = table.table("error")
    if error is None:
        return None
    status = error.number("code")
    return failure_of(status=None if status is None else int(status), kind=error.text("type") or "", message=error.text("message") or "")


def _status(table: Table) -> int | None:
    error = table.table("error")
    code = error.number("code") if error is not None else None
    return int(code) if code is not None and 100 <= code <= 599 else None


def _scale(block: Table) -> float:
    """Nanoseconds per unit of the block."""
    symbol = block.text("unit")
    unit, factor = UNITS.get(symbol or "", (None, 0.0))
    if unit is not Unit.SECONDS:
        block.refuse("unit", symbol, "a unit of time (ms)")
    return factor * 1e9


def _nanoseconds(metrics: Table, name: str) -> int | None:
    block = metrics.table(name)
    found = block.number("value") if block is not None else None
    return None if block is None or found is None else round(found * _scale(block))


def _value(metrics: Table, name: str) -> float | None:
    block = metrics.table(name)
    return None if block is None else block.number("value")


def _tokens(metrics: Table, name: str) -> int | None:
    found = _value(metrics, name)
    return None if found is None else round(found)


def _whole(table: Table, name: str) -> int | None:
    """A stamp, without the detour over a float, which holds 19 digits no longer.

    :raises UsageError: for anything but a whole number.
    """
    value = table.data.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        table.refuse(name, value, "a whole number of nanoseconds")
    return value


def _required(table: Table, name: str) -> int:
    found = _whole(table, name)
    if found is None:
        table.refuse(name, None, "a whole number of nanoseconds")
    return found
