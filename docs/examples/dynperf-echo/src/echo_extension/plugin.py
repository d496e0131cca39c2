"""What this package adds. pytest loads it at every start, so what is heavy is imported inside the functions."""

from __future__ import annotations

import sys
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_dynperf.deployment.extension_engine import Engine, EngineCall, Launch
    from pytest_dynperf.metrics.definition import MetricDefinition
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.report.section import Section
    from pytest_dynperf.report.session_report import SessionReport

LONGEST_GAP = "longest_gap.v1"


# ---- an engine: `topology.engine = "echo"`


def pytest_dynperf_engines() -> dict[str, Engine]:
    from pytest_dynperf.deployment.extension_engine import Engine

    return {"echo": Engine(command=command, ready_s=30.0, versions=lambda: {"echo.version": "0.1.0"})}


def command(call: EngineCall) -> Launch:
    from pytest_dynperf.deployment.extension_engine import Launch

    address = ("--host", call.host, "--port", str(call.port), "--model", call.topology.model)
    return Launch(argv=(sys.executable, "-m", "echo_extension.server", *address))


# ---- a metric: what a reader notices as a stutter


def pytest_dynperf_metrics() -> list[MetricDefinition]:
    from pytest_dynperf.metrics.definition import MetricDefinition
    from pytest_dynperf.quantity import Direction, Unit

    return [
        MetricDefinition(
            id=LONGEST_GAP,
            unit=Unit.SECONDS,
            direction=Direction.LOWER_IS_BETTER,
            formula="largest time between two chunks of a response",
            source="load generator",
            prior_sd=0.1,
            samples=longest_gaps,
        )
    ]


def longest_gaps(recording: Recording) -> NDArray[np.float64]:
    import numpy as np

    from pytest_dynperf.metrics.success import successful

    found = [max(np.diff(record.chunk_ns)) / 1e9 for record in successful(recording) if len(record.chunk_ns) > 1]
    return np.array(found, dtype=np.float64)


# ---- a section of report.html


def pytest_dynperf_report_sections(report: SessionReport) -> list[Section]:
    from pytest_dynperf import Cell
    from pytest_dynperf.report.section import Section

    cell = Cell(LONGEST_GAP, "p50")
    rows = []
    for result in report.results:
        values = [run.values[cell] for run in result.measurement.runs if cell in run.values] if result.measurement else []
        rows.append((result.case.name, f"{median(values) * 1e3:.2f} ms" if values else "not measured"))
    text = "The longest pause within a response: what a reader notices as a stutter, and no percentile of all gaps shows."
    return [Section(title="Stutter", paragraphs=(text,), columns=("case", "longest gap, median"), rows=tuple(rows))]
