"""One load as JSON. Schema 1; every field is documented in docs/load.md. SI units; keys stand in the order in which they are written here.

Headers are named without their values, and of the API key only its variable is known.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_dynperf.report.json_measurement import encode_metrics, encode_run
from pytest_dynperf.report.plain import plain_table

if TYPE_CHECKING:
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.report.load_report import LoadReport

SCHEMA = 1


def encode_load(report: LoadReport) -> str:
    """The whole file, with a line end.

    :raises TypeError: for a value that JSON does not have; ValueError for NaN and infinity.
    """
    tables = encode_metrics(report.runs, [entry.cell for entry in report.cells], {})
    metrics = [
        {**table, "mean": entry.mean, "run_cv": entry.run_cv, "absent": entry.absent}
        for entry, table in zip(report.cells, tables, strict=True)
    ]
    document: dict[str, object] = {
        "schema": SCHEMA,
        "stamp": report.stamp,
        "valid": not report.problems,
        "interrupted": report.interrupted,
        "problems": list(report.problems),
        "notes": list(report.notes),
        "endpoint": _endpoint(report.endpoint),
        "traffic": json.loads(json.dumps(asdict(report.traffic))),
        "bounds": {name: value for name, value in asdict(report.expectation).items() if name != "gates"},
        "seed": report.seed,
        "generator": report.generator,
        "processes": report.processes,
        "prompts": report.prompts,
        "software": dict(sorted(report.software.items())),
        "runs": [{**encode_run(run), "valid": not run.problems} for run in report.runs],
        "metrics": metrics,
    }
    return json.dumps(plain_table(document, "load"), indent=1, ensure_ascii=False) + "\n"


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {
        "base_url": endpoint.base_url,
        "model": endpoint.model,
        "api": endpoint.api,
        "api_key_variable": endpoint.api_key_variable,
        "headers": [name for name, _ in endpoint.headers],
        "extra_body": dict(endpoint.extra_body),
        "metrics_urls": dict(endpoint.metrics_urls),
        "gpu_count": endpoint.gpu_count,
    }
