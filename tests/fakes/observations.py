"""Recordings and documents by hand: every number in them is stated by the test that asks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.measurement.measurement import Measurement, Run
from pytest_dynperf.metrics.catalogue import CATALOGUE, MEANINGS
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.observation.recording import Certificate, ProcessUsage, Recording
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MS = 1_000_000

THROUGHPUT = Cell("output_token_throughput.v1", "value")
ITL = Cell("inter_token_latency.v1", "p50")
TTFT = Cell("time_to_first_token.v1", "p50")

CERTIFICATE = Certificate(
    send_lag_p99_s=1e-4,
    receive_lag_p99_s=1e-5,
    mean_in_flight=4.0,
    coalesced_share=0.0,
    processes=(ProcessUsage(cpu_s=1.0, run_delay_s=0.1),),
    clock_step_s=0.0,
)
TRAFFIC = Traffic(isl=256, osl=3, concurrency=4)
EXPECTATION = Expectation(gates=(Gate(cell=THROUGHPUT, tolerance=0.03), Gate(cell=ITL, tolerance=0.03), Gate(cell=TTFT, tolerance=0.05)))


def record(index: int = 0, *, sent_ms: int = 0, chunks_ms: Sequence[int] = (50, 60, 70), measured: bool = True) -> RequestRecord:
    """A successful request with one token a chunk; chunk times count from the start of the window, as ``sent_ms`` does."""
    return RequestRecord(
        request_id=f"r{index}",
        run="run-1",
        index=index,
        measured=measured,
        isl_requested=256,
        osl_requested=len(chunks_ms),
        scheduled_ns=sent_ms * MS,
        sent_ns=sent_ms * MS,
        chunk_ns=tuple(at * MS for at in chunks_ms),
        end_ns=(chunks_ms[-1] + 1) * MS,
        http_status=200,
        finish_reason="length",
        prompt_tokens=256,
        completion_tokens=len(chunks_ms),
    )


def failed(index: int, kind: FailureKind = FailureKind.OVERLOADED, detail: str = "HTTP 529 busy") -> RequestRecord:
    """A measured request that failed after its first chunk: its stamps must never count."""
    return replace(record(index, chunks_ms=(9_000, 9_500, 9_900)), error=Failure(kind=kind, detail=detail))


def recording(records: Sequence[RequestRecord], *, window_ms: int = 1_000) -> Recording:
    """At concurrency 4, with a faultless certificate."""
    return Recording(
        run="run-1", records=tuple(records), window_start_ns=0, window_end_ns=window_ms * MS, concurrency=4, certificate=CERTIFICATE
    )


def run_of(values: Mapping[Cell, float], name: str = "run-1") -> Run:
    """A valid run with the given values and no others; rates are parts of 10,000."""
    rates = {cell.metric: value for cell, value in values.items() if cell.metric in MEANINGS and MEANINGS[cell.metric].kind is Kind.RATE}
    return Run(
        name=name,
        values=values,
        absent={},
        distributions={},
        requests=32,
        errors=0,
        error_kinds={},
        duration_s=1.0,
        certificate=CERTIFICATE,
        witness={},
        parts={metric: (value * 10_000, 10_000.0) for metric, value in rates.items()},
    )


def measurement_of(columns: Mapping[Cell, Sequence[float]]) -> Measurement:
    """A measurement from one column of values, one per run, for each cell."""
    count = max(len(column) for column in columns.values())
    rows = [{cell: column[index] for cell, column in columns.items() if index < len(column)} for index in range(count)]
    return Measurement(runs=tuple(run_of(row, f"run-{index + 1}") for index, row in enumerate(rows)))


KEY = {"cpu.model": "Xeon", "workload": "abc"}


def document_of(columns: Mapping[Cell, Sequence[float]], *, number: int = 0, key: Mapping[str, str] = KEY, epoch: int = 0) -> Baseline:
    """The accepted session ``number`` with the values of :func:`measurement_of`."""
    runs = measurement_of(columns).runs
    return Baseline(
        suite="smoke",
        case_id="agg-isl256-osl3-c4",
        session_id=f"s{number:03d}",
        stamp=f"20261121T07{number:02d}00Z",
        environment_name="mocker-xeon-1a2b3c4d",
        key=key,
        provenance={"dynamo.version": "1.4.2"},
        units={cell.metric: CATALOGUE[cell.metric].unit.value for cell in columns},
        runs=tuple(
            BaselineRun(
                values=run.values,
                distributions={},
                requests=run.requests,
                errors=run.errors,
                duration_s=run.duration_s,
                parts=run.parts,
            )
            for run in runs
        ),
        epoch=epoch,
    )
