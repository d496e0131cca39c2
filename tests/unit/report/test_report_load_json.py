"""The JSON of one load: every key is documented, none holds a secret, and absence is null with a reason."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.report.load_json import encode_load
from pytest_dynperf.scenario.traffic import Arrival
from tests.unit.report.test_report_load_text import TTFT, report, run

PAGE = Path(__file__).parents[3] / "docs" / "load.md"


def test_every_key_is_documented() -> None:
    document = json.loads(encode_load(report(run())))
    tables = [document, document["endpoint"], document["runs"][0], document["metrics"][0]]
    said = set(re.findall(r"`([a-z_]+)`", PAGE.read_text(encoding="utf-8")))
    assert {key for table in tables for key in table} - said == set()


def test_headers_have_names_and_no_values() -> None:
    endpoint = Endpoint(base_url="http://h", model="m", headers=(("X-Key", "hunter2"),), api_key_variable="KEY", extra_body=(("a", [1]),))
    text = encode_load(replace(report(run()), endpoint=endpoint))
    assert "hunter2" not in text
    assert json.loads(text)["endpoint"]["headers"] == ["X-Key"]
    assert json.loads(text)["endpoint"]["extra_body"] == {"a": [1]}


def test_what_one_run_lacks_has_no_mean_and_a_reason() -> None:
    lacking = run("run-2")
    lacking = replace(lacking, values={cell: value for cell, value in lacking.values.items() if cell != Cell(TTFT, "p50")})
    document = json.loads(encode_load(report(run(), lacking)))
    metric = next(entry for entry in document["metrics"] if (entry["id"], entry["statistic"]) == (TTFT, "p50"))
    assert (metric["values"], metric["mean"]) == ([0.03, None], None)
    assert metric["absent"].startswith("run run-2: ")


def test_an_invalid_run_keeps_its_values_and_says_so_first() -> None:
    document = json.loads(encode_load(report(run(problems=("held up",)))))
    assert list(document)[:3] == ["schema", "stamp", "valid"]
    assert (document["valid"], document["problems"], document["runs"][0]["valid"]) == (False, ["held up"], False)
    assert any(metric["mean"] is not None for metric in document["metrics"])


def test_no_run_at_all_is_not_valid() -> None:
    document = json.loads(encode_load(report()))
    assert (document["valid"], document["problems"], document["runs"]) == (False, ["nothing was measured"], [])


def test_who_made_the_requests() -> None:
    assert json.loads(encode_load(report(run())))["generator"] == "pytest-dynperf"
    document = json.loads(encode_load(replace(report(run()), generator="AIPerf 0.13.0", processes=None, ended="run-2: it failed")))
    assert (document["generator"], document["processes"]) == ("AIPerf 0.13.0", None)
    assert (document["valid"], document["problems"]) == (False, ["run-2: it failed"])


def test_a_number_that_json_lacks_is_refused() -> None:
    traffic = replace(report().traffic, arrival=Arrival(process="poisson", rate_per_s=float("nan")))
    with pytest.raises(ValueError, match="nan"):
        encode_load(replace(report(), traffic=traffic))
