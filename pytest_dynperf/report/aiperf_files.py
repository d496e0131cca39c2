"""Our runs in AIPerf's files: ``profile_export_aiperf.json`` (schema 1.4) and ``profile_export.jsonl``, for whatever reads those.

A run that must not be judged says so there too: ``is_complete`` is false, with the reason. Unmeasured requests before the window are
AIPerf's phase ``warmup``; those after it are left out, because AIPerf has no word for them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.foreign_blocks import request_values, run_blocks
from pytest_dynperf.metrics.goodput import stated
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.run_directory import safe_name, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import Failure, RequestRecord
    from pytest_dynperf.scenario.traffic import Traffic

SCHEMA = "1.4"
SUMMARY, RECORDS = "profile_export_aiperf.json", "profile_export.jsonl"

_PHASES = {"concurrency": "concurrency", "constant": "constant", "poisson": "poisson", "gamma": "gamma", "trace": "fixed_schedule"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a file says of where its run comes from. ``epoch_ns``: wall clock time, in ns since 1970, of zero on the clock of the stamps.
    ``generator`` made the requests: a reader must not take it for AIPerf.
    """

    model: str
    url: str
    generator: str
    generator_version: str
    epoch_ns: int


def export(
    recordings: Sequence[Recording],
    *,
    traffic: Traffic,
    facts: RunFacts,
    origin: Origin,
    directory: Path,
    problems: Sequence[Sequence[str]] = (),
) -> tuple[Path, ...]:
    """Write each recording into a directory of its own below ``directory``, named as the run; returns these directories.

    ``problems`` are those of each run, in the order of the recordings. Costs about 0.25 ms a request of 32 chunks.

    :raises RunDirectoryError: when a file cannot be written.
    """
    homes = []
    for place, recording in enumerate(recordings):
        home = directory / safe_name(recording.run)
        found = problems[place] if place < len(problems) else ()
        write_atomically(home / SUMMARY, json.dumps(summary(recording, traffic, facts, origin, found), indent=2, allow_nan=False) + "\n")
        lines = (json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in record_lines(recording, origin))
        write_atomically(home / RECORDS, "".join(lines))
        homes.append(home)
    return tuple(homes)


def summary(recording: Recording, traffic: Traffic, facts: RunFacts, origin: Origin, problems: Sequence[str] = ()) -> dict[str, object]:
    """The content of ``profile_export_aiperf.json``, keys in AIPerf's order."""
    failures = [record.error for record in recording.measured if record.error is not None]
    cancelled = any(failure.kind is FailureKind.CANCELLED for failure in failures)
    return {
        "schema_version": SCHEMA,
        "load_generator": origin.generator,
        "load_generator_version": origin.generator_version,
        **run_blocks(recording, facts),
        "input_config": _input_config(traffic, facts, origin),
        "was_cancelled": cancelled,
        "is_complete": not problems,
        **({"incomplete_reason": problems[0]} if problems else {}),
        "error_summary": _error_summary(failures),
        "start_time": _instant(recording.window_start_ns + origin.epoch_ns),
        "end_time": _instant(recording.window_end_ns + origin.epoch_ns),
    }


def record_lines(recording: Recording, origin: Origin) -> Iterator[dict[str, object]]:
    """The objects of ``profile_export.jsonl``, in the order of the records."""
    for number, record in enumerate(recording.records):
        if not record.measured and (record.sent_ns or record.scheduled_ns) >= recording.window_start_ns:
            continue
        yield _line(recording, record, number, origin)


def _line(recording: Recording, record: RequestRecord, number: int, origin: Origin) -> dict[str, object]:
    phase = "profiling" if record.measured else "warmup"
    start_ns = record.scheduled_ns if record.sent_ns is None else record.sent_ns
    line: dict[str, object] = {
        "metadata": {
            "session_num": number,
            "x_request_id": record.request_id,
            "conversation_id": record.conversation or record.request_id,
            "turn_index": record.turn,
            "credit_issued_ns": record.scheduled_ns + origin.epoch_ns,
            "request_start_ns": start_ns + origin.epoch_ns,
            **({} if record.first_byte_ns is None else {"request_ack_ns": record.first_byte_ns + origin.epoch_ns}),
            "request_end_ns": (start_ns if record.end_ns is None else record.end_ns) + origin.epoch_ns,
            "worker_id": "dynperf",
            "record_processor_id": "dynperf",
            "benchmark_phase": phase,
            "was_cancelled": record.error is not None and record.error.kind is FailureKind.CANCELLED,
        },
        "metrics": request_values(recording, record),
    }
    if record.error is not None:
        line["error"] = _error(record.error, record.http_status)
    return line


def _error(failure: Failure, status: int | None) -> dict[str, object]:
    code = {} if status in (None, 200) else {"code": status}
    return {**code, "type": failure.kind.value, "message": failure.detail}


def _error_summary(failures: Sequence[Failure]) -> list[dict[str, object]]:
    tally: dict[Failure, int] = {}
    for failure in failures:
        tally[failure] = tally.get(failure, 0) + 1
    return [{"error_details": _error(failure, None), "count": count} for failure, count in tally.items()]


def _input_config(traffic: Traffic, facts: RunFacts, origin: Origin) -> dict[str, object]:
    extra = {"extra": {"ignore_eos": True, "min_tokens": traffic.osl}} if traffic.ignore_eos else {}
    lengths = {
        "isl": _length(traffic.isl, traffic.workload.isl_stddev),
        "osl": _length(traffic.osl, traffic.workload.osl_stddev),
    }
    phases = [_phase(traffic, "profiling", traffic.request_count)]
    if traffic.warmup_count:
        phases.insert(0, {**_phase(traffic, "warmup", traffic.warmup_count), "exclude_from_results": True})
    bounds = {name.removesuffix("_s"): bound * 1e3 for name, bound in stated(facts.objectives).items()}
    return {
        "models": {"items": [{"name": origin.model}]},
        "endpoint": {"urls": [origin.url], "type": "chat", "streaming": True, "use_server_token_count": True, **extra},
        "datasets": [{"name": "main", "type": "synthetic", "entries": traffic.request_count, "prompts": lengths}],
        "phases": phases,
        **({"slos": bounds} if bounds else {}),
    }


def _length(mean: int, stddev: float) -> dict[str, float]:
    return {"mean": float(mean), "stddev": stddev} if stddev else {"mean": float(mean)}


def _phase(traffic: Traffic, kind: str, requests: int) -> dict[str, object]:
    """AIPerf has no sine; the nearest that it can state of one is Poisson at the mean rate."""
    arrival = traffic.arrival
    phase: dict[str, object] = {"name": kind, "kind": kind, "type": _PHASES.get(arrival.process, "poisson"), "requests": requests}
    if arrival.closed:
        phase["concurrency"] = traffic.slots
    elif arrival.mean_rate_per_s is not None:
        phase["rate"] = arrival.mean_rate_per_s
        if arrival.max_in_flight is not None:
            phase["concurrency"] = arrival.max_in_flight
        if arrival.process == "gamma":
            phase["smoothness"] = arrival.burstiness
    return phase


def _instant(epoch_ns: int) -> str:
    return datetime.fromtimestamp(epoch_ns / 1e9, tz=UTC).isoformat()
