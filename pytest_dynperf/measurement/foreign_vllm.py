"""The JSON of ``vllm bench serve --save-result``, with the requests where ``--save-detailed`` was given (keys as of vLLM 0.11 and later).

vLLM's words: its TPOT is our inter_token_latency, its ITL our inter_chunk_latency, its E2EL our request_latency. It counts every chunk
that has choices, so an empty one too: on a server that opens with the role alone, its TTFT is that of the role. Statistics of a run in
which every request failed are 0 in its file, and are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.measurement.foreign import SAME, Asked, ForeignRun, contradictions, too_few
from pytest_dynperf.measurement.foreign_recording import computed, failure_of, tally
from pytest_dynperf.measurement.foreign_table import Table
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.request_record import RequestRecord
from pytest_dynperf.scenario.traffic import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOOL = "vllm bench serve"

LATENCIES = {
    "ttft": "time_to_first_token.v1",
    "tpot": "inter_token_latency.v1",
    "itl": "inter_chunk_latency.v1",
    "e2el": "request_latency.v1",
}
"""vLLM's name → our id."""

_STATISTICS = {"mean": "mean", "p50": "median", "p90": "p90", "p95": "p95", "p99": "p99"}
_LISTS = ("ttfts", "itls", "input_lens", "output_lens", "errors")
_NOTE = "vLLM counts chunks without content too: where the server opens with the role alone, its TTFT is that of the role"


def looks_like(table: Table) -> bool:
    """Whether a JSON object is the result of ``vllm bench serve`` for a model that generates."""
    return all(name in table.data for name in ("completed", "duration", "total_output_tokens", "output_throughput"))


def read_result(table: Table, *, run: str = "imported") -> ForeignRun:
    """One run.

    :raises UsageError: for a value that is not what it must be; names file and key.
    """
    completed = _required(table, "completed")
    prompts = table.number("num_prompts")
    failed = table.number("failed")
    errors = round(failed if failed is not None else max(0.0, (prompts or completed) - completed))
    asked = _asked(table, completed)
    records = _records(table, run, asked) if completed else ()
    stated = _stated(table, round(completed))
    duration_s = _required(table, "duration")
    found = computed(records, duration_s=duration_s, name=run, asked=asked) if records else None
    values = {**(found.values if found is not None else {}), **{cell: v for cell, v in stated.items() if cell.statistic == "value"}}
    failures = [record.error for record in records if record.error is not None]
    starts_known = bool(table.rows("start_times"))
    return ForeignRun(
        file=table.file,
        tool=TOOL,
        version=table.text("vllm_version"),
        asked=asked,
        requests=round(completed) + errors,
        errors=errors,
        error_kinds=tally(failures),
        error_detail=failures[0].detail if failures else "",
        duration_s=duration_s,
        mean_in_flight=_mean_in_flight(table, values or stated),
        values=values if found is not None else stated,
        distributions=found.distributions if found is not None else {},
        problems=(*_rates(table, completed), *(contradictions(stated, found.values, file=table.file) if found is not None else ())),
        notes=(_NOTE,),
        records=records if starts_known else (),
    )


def _required(table: Table, name: str) -> float:
    found = table.number(name)
    if found is None:
        table.refuse(name, None, "a number")
    return found


def _asked(table: Table, completed: float) -> Asked:
    """ISL and OSL are not in the file: they are the mean of what was counted."""
    lengths = {
        name: round((table.number(f"total_{key}_tokens") or 0.0) / completed) if completed else None
        for name, key in (("isl", "input"), ("osl", "output"))
    }
    concurrency, prompts = table.number("max_concurrency"), table.number("num_prompts")
    given = table.data.get("request_rate")
    rate = None if given in (None, "inf") else table.number("request_rate")
    burstiness = table.number("burstiness") or 1.0
    arrival = Arrival()
    if rate is not None:
        in_flight = None if concurrency is None else round(concurrency)
        process = "poisson" if burstiness == 1.0 else "gamma"
        arrival = Arrival(process=process, rate_per_s=rate, burstiness=burstiness, max_in_flight=in_flight)
    slots = concurrency if concurrency is not None else prompts  # without a bound and a rate, everything is sent at once
    return Asked(
        model=table.text("model_id"),
        isl=lengths["isl"],
        osl=lengths["osl"],
        concurrency=None if slots is None else round(slots),
        arrival=arrival,
        requests=None if prompts is None else round(prompts),
    )


def _stated(table: Table, completed: int) -> dict[Cell, float]:
    if not completed:
        return {}
    values: dict[Cell, float] = {}
    for theirs, ours in LATENCIES.items():
        for statistic, word in _STATISTICS.items():
            found = table.number(f"{word}_{theirs}_ms")
            if found is not None and too_few(completed, statistic) is None:
                values[Cell(ours, statistic)] = found / 1e3
    for name, ours in (("request_throughput", "request_throughput.v1"), ("output_throughput", "output_token_throughput.v1")):
        found = table.number(name)
        if found is not None:
            values[Cell(ours, "value")] = found
    return values


def _mean_in_flight(table: Table, values: Mapping[Cell, float]) -> float | None:
    """Throughput × mean latency (Little); the mean latency is TTFT and the gaps after it where E2EL was not asked for."""
    throughput, latency = table.number("request_throughput"), values.get(Cell(LATENCIES["e2el"], "mean"))
    ttft, tpot = (values.get(Cell(LATENCIES[name], "mean")) for name in ("ttft", "tpot"))
    tokens, completed = table.number("total_output_tokens"), table.number("completed")
    if latency is None and ttft is not None and tpot is not None and tokens and completed:
        latency = ttft + tpot * (tokens / completed - 1)
    return None if throughput is None or latency is None else throughput * latency


def _rates(table: Table, completed: float) -> Iterator[str]:
    """A rate is a count over the duration."""
    duration = _required(table, "duration")
    for rate, count, name in (
        ("request_throughput", completed, "completed"),
        ("output_throughput", table.number("total_output_tokens") or 0.0, "total_output_tokens"),
    ):
        found = table.number(rate)
        if found is not None and abs(found * duration - count) > SAME * max(count, found * duration):
            yield f"{table.file}: {rate} {found:g} × duration {duration:g} s is not {name} {count:g}: the file is damaged"


def _records(table: Table, run: str, asked: Asked) -> tuple[RequestRecord, ...]:
    """The requests of ``--save-detailed``; none where the lists are missing. Without ``start_times`` each starts at 0 of its own clock."""
    if any(name not in table.data for name in _LISTS):
        return ()
    columns = {name: table.rows(name) for name in _LISTS}
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        table.refuse("ttfts", sizes, "as many entries in every list of requests")
    starts = table.rows("start_times") or [0.0] * sizes["ttfts"]
    rows = [
        Table(file=table.file, key=f"[{place}]", data={"start_times": starts[place], **{name: columns[name][place] for name in _LISTS}})
        for place in range(sizes["ttfts"])
    ]
    return tuple(_record(row, index=index, run=run, asked=asked) for index, row in enumerate(rows))


def _record(row: Table, *, index: int, run: str, asked: Asked) -> RequestRecord:
    sent_ns = round(_required(row, "start_times") * 1e9)
    text = row.text("errors")
    stamps = [sent_ns + round(_required(row, "ttfts") * 1e9)]
    for gap in row.rows("itls"):
        stamps.append(stamps[-1] + round(_required(Table(file=row.file, key=f"{row.key}.itls", data={"gap": gap}), "gap") * 1e9))
    tokens, prompt = row.number("output_lens"), row.number("input_lens")
    failed = text is not None or not tokens
    return RequestRecord(
        request_id=f"r{index}",
        run=run,
        index=index,
        measured=True,
        isl_requested=asked.isl or 0,
        osl_requested=asked.osl or 0,
        scheduled_ns=sent_ns,
        sent_ns=sent_ns,
        chunk_ns=() if failed else tuple(stamps),
        end_ns=None if failed else stamps[-1],
        http_status=None if failed else 200,
        prompt_tokens=None if prompt is None else round(prompt),
        completion_tokens=None if failed or tokens is None else round(tokens),
        error=failure_of(status=None, kind="", message=text or "no tokens") if failed else None,
    )
