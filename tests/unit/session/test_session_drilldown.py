from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.baseline.store import write
from pytest_dynperf.observation.record_file import encode as encode_record
from pytest_dynperf.observation.request_record import RequestRecord
from pytest_dynperf.observation.run_columns import encode
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.drilldown import read_drilldown
from tests.fakes.courses import a_course
from tests.fakes.session_reports import ITL, a_distribution, a_report, a_result

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.report.session_report import CaseResult

SECOND = 1_000_000_000


def keep(root: Path, result: CaseResult, run: str, content: bytes) -> Path:
    path = RunDirectory(root).columns(result.case.suite, result.case.case_id, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def a_document(result: CaseResult, stamp: str, p50: float) -> Baseline:
    run = BaselineRun(values={}, distributions={ITL.metric: a_distribution(p50)}, requests=30, errors=0, duration_s=4.0)
    return Baseline(
        suite=result.case.suite, case_id=result.case.case_id, session_id="0a1b2c", stamp=stamp, environment_name="mocker-1",
        key={"cpu": "1"}, provenance={}, units={ITL.metric: "s"}, runs=(run, run, run),
    )  # fmt: skip


def test_the_course_of_each_run_is_read_in_order_and_linked_from_the_page(tmp_path: Path) -> None:
    result = a_result()
    for name in ("run-3", "run-1", "run-2"):
        keep(tmp_path / "session", result, name, encode(a_course(name)))
    found = read_drilldown(a_report(result), tmp_path / "session", page=tmp_path / "elsewhere").of(result.case.name)
    assert found.runs == tuple(a_course(name) for name in ("run-1", "run-2", "run-3"))
    assert found.files[0] == "../session/series/concurrency_sweep/agg-isl256-osl32-c4/run-1.json.gz"


def test_a_broken_or_missing_file_costs_its_own_drawing_and_no_other(tmp_path: Path) -> None:
    result = a_result()
    keep(tmp_path, result, "run-1", b"half a fi")
    keep(tmp_path, result, "run-2", encode(a_course("run-2")))
    assert [run.run for run in read_drilldown(a_report(result), tmp_path).of(result.case.name).runs] == ["run-2"]


def test_older_sessions_are_drawn_from_their_records(tmp_path: Path) -> None:
    record = RequestRecord(
        request_id="r", run="run-1", index=0, measured=True, isl_requested=8, osl_requested=2, scheduled_ns=0, sent_ns=7 * SECOND,
        chunk_ns=(8 * SECOND, 9 * SECOND), completion_tokens=2,
    )  # fmt: skip
    result = a_result()
    plain = result.records[0].removesuffix(".gz")
    path = tmp_path / plain
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_record(replace(record, index=1, measured=False, sent_ns=6 * SECOND)) + encode_record(record))
    found = read_drilldown(a_report(result), tmp_path).of(result.case.name)
    (run,) = found.runs
    assert run.requests.sent_s == (-1.0, 0.0), "time begins with the first measured request"
    assert run.requests.first_s == (1.0, 1.0)
    assert found.files == (plain,)


def test_the_distributions_are_those_of_the_newest_session_that_was_compared_with(tmp_path: Path) -> None:
    result = a_result()
    documents = [a_document(result, f"202611{day}T030501Z", p50) for day, p50 in ((18, 0.004), (19, 0.005), (20, 0.006))]
    for document in documents:
        write(tmp_path, document)
    compared = replace(result, verdict=replace(result.verdict, compared_with=tuple(document.name for document in documents[:2])))
    found = read_drilldown(a_report(compared), tmp_path, tmp_path).of(result.case.name)
    assert found.baseline_name == documents[1].name
    assert [one.percentiles["p50"] for one in found.baseline[ITL.metric]] == [0.005] * 3
    assert not read_drilldown(a_report(result), tmp_path, tmp_path).of(result.case.name).baseline, "it was compared with none"
