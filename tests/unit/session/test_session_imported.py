"""Imports from file to verdict: grouping, judging, a second session, what becomes of invalid runs, and the files that are left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.baseline.pooled import LEAST_DEGREES, pooled_prior
from pytest_dynperf.baseline.store import document_files
from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.json_file import decode_session
from pytest_dynperf.session.closing import close
from pytest_dynperf.session.exported import export_session
from pytest_dynperf.session.imported import Import, imported
from pytest_dynperf.session.imported_files import Known, found_files, read_runs
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.report.session_report import CaseResult, SessionReport

DATA = Path(__file__).parents[2] / "data" / "aiperf"
SUMMARY, RECORDS = "profile_export_aiperf.json", "profile_export.jsonl"
LATENCIES = (
    "time_to_first_token",
    "inter_token_latency",
    "inter_chunk_latency",
    "request_latency",
    "effective_latency",
    "time_to_second_token",
)


def slower(table: dict[str, Any], factor: float) -> dict[str, Any]:
    """The summary of a run whose every time is ``factor`` as long."""
    changed = dict(table)
    for name in LATENCIES:
        changed[name] = {key: value if key in ("unit", "count") else value * factor for key, value in table[name].items()}
    changed["output_token_throughput_per_user"] = {
        key: value if key in ("unit", "count") else value / factor for key, value in table["output_token_throughput_per_user"].items()
    }
    for name in ("request_throughput", "output_token_throughput"):
        changed[name] = {"unit": table[name]["unit"], "avg": table[name]["avg"] / factor}
    return changed


def miscount(file: Path) -> None:
    """Make the summary one of a run whose tokens were counted by another tokenizer."""
    table = json.loads(file.read_text())
    table["output_sequence_length"] = json.loads((DATA / "c8_clienttok" / SUMMARY).read_text())["output_sequence_length"]
    file.write_text(json.dumps(table))


@pytest.fixture
def runs_of(tmp_path: Path) -> Callable[..., Path]:
    """A directory in AIPerf's layout of several runs, each ``factor`` as slow as the sample ``c8``, without requests."""

    def make(name: str, *factors: float) -> Path:
        table = json.loads((DATA / "c8" / SUMMARY).read_text())
        for place, factor in enumerate(factors, start=1):
            home = tmp_path / name / "profile_runs" / f"run_{place:04}"
            home.mkdir(parents=True)
            (home / SUMMARY).write_text(json.dumps(slower(table, factor)))
        return tmp_path / name

    return make


def settings(tmp_path: Path, *, number: int = 1, update: bool = False, environment: str | None = "lab") -> Settings:
    return Settings(
        session_id=f"s{number:07}",
        stamp=f"20261121T0700{number:02}Z",
        seed=0,
        command="dynperf import x",
        rootdir=tmp_path,
        environment_name=environment,
        baselines=tmp_path / "baselines",
        run_directory=tmp_path / "reports" / f"s{number}",
        cache_directory=tmp_path,
        update="write" if update else "off",
    )


def run_import(request: Import, how: Settings) -> SessionReport:
    report, trouble = close(imported(request, how), how)
    assert trouble == ()
    return report


def only(report: SessionReport) -> CaseResult:
    [result] = report.results
    return result


THREE = (1.0, 1.004, 0.997)


def test_three_runs_are_judged_against_what_was_accepted(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    first = only(run_import(Import(paths=(runs_of("before", *THREE),)), settings(tmp_path, update=True)))
    assert first.verdict.outcome is Outcome.NO_BASELINE
    assert first.case.name == "imported/gt-model-isl200-osl32-c8"
    same = only(run_import(Import(paths=(runs_of("same", 1.001, 0.998, 1.0),)), settings(tmp_path, number=2)))
    assert same.verdict.outcome is Outcome.UNCHANGED
    assert same.environment is not None
    assert same.environment.key == {"name": "lab", "model": "gt-model", "load_generator": "AIPerf"}


def test_a_suspect_is_decided_by_the_files_of_a_second_session_alone(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    run_import(Import(paths=(runs_of("before", *THREE),)), settings(tmp_path, update=True))
    worse, worse_again, fine = (
        runs_of(name, *factors) for name, factors in (("w", (1.3, 1.31, 1.29)), ("a", (1.28, 1.3, 1.31)), ("f", THREE))
    )
    undecided = only(run_import(Import(paths=(worse,)), settings(tmp_path, number=2)))
    assert undecided.verdict.outcome is Outcome.INCONCLUSIVE
    assert "give them with --fresh" in undecided.verdict.reasons[-1]
    regressed = only(run_import(Import(paths=(worse,), fresh=(worse_again,)), settings(tmp_path, number=3)))
    assert (regressed.verdict.outcome, regressed.confirmed_by) == (Outcome.REGRESSED, "the files of a second session")
    assert regressed.suspicions[0].what == "decode"
    cleared = only(run_import(Import(paths=(worse,), fresh=(fine,)), settings(tmp_path, number=4)))
    assert cleared.verdict.outcome is Outcome.INCONCLUSIVE
    assert cleared.verdict.confirmed


def test_the_environments_own_history_stands_in_for_the_guess(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    """Judged on the same terms as our own runs, and so again by ``dynperf judge``, from what the result says of them."""
    for number in range(LEAST_DEGREES + 2):
        factor = 1 + 1e-4 * (number % 2)
        paths = (runs_of(f"night{number}", *(factor * one for one in THREE)),)
        result = only(run_import(Import(paths=paths), settings(tmp_path, number=number, update=True)))
        if number == LEAST_DEGREES:
            assert result.prior_sd == {}, "too little is known yet"
    assert 0 < result.prior_sd["inter_token_latency.v1"] < 1e-3
    assert result.prior_sd == pooled_before(tmp_path, result)


def pooled_before(tmp_path: Path, result: CaseResult) -> dict[str, float]:
    """What the store said before the session of ``result`` was accepted into it."""
    assert result.environment is not None
    max(document_files(tmp_path / "baselines")).unlink()
    return pooled_prior(tmp_path / "baselines", result.environment.name)


def test_too_few_runs_are_invalid_by_our_rule(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    result = only(run_import(Import(paths=(runs_of("two", 1.0, 1.0),)), settings(tmp_path)))
    assert result.verdict.outcome is Outcome.INVALID
    assert result.verdict.reasons[0] == "2 valid runs, needed are 3: the run is the statistical unit"


def test_one_invalid_run_is_left_out_and_a_second_one_is_not(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    home = runs_of("four", *THREE, 1.0)
    miscount(home / "profile_runs" / "run_0002" / SUMMARY)
    result = only(run_import(Import(paths=(home,)), settings(tmp_path)))
    assert result.verdict.outcome is Outcome.NO_BASELINE
    assert result.measurement is not None
    assert [run.name for run in result.measurement.discarded] == ["run-2"]
    miscount(home / "profile_runs" / "run_0003" / SUMMARY)
    assert only(run_import(Import(paths=(home,)), settings(tmp_path, number=2))).verdict.outcome is Outcome.INVALID


def test_a_single_file_with_wrong_token_counts_says_so_rather_than_that_it_is_alone(tmp_path: Path) -> None:
    result = only(run_import(Import(paths=(DATA / "c8_clienttok",)), settings(tmp_path)))
    assert result.verdict.outcome is Outcome.INVALID
    assert "usage_completion_tokens is 32" in result.verdict.reasons[0]


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    result = only(run_import(Import(paths=(DATA / "c8",)), settings(tmp_path)))
    assert "the load generator was AIPerf 0.13.0; its lags are not known" in result.verdict.reasons
    assert result.environment is not None
    assert result.environment.provenance["input_sequence_length"] == "asked 200, found 115 on average"
    assert result.environment.provenance["engine"] == "unknown: the endpoint does not say"


def test_a_warm_prefix_cache_is_pointed_out(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    result = only(run_import(Import(paths=(runs_of("three", *THREE),)), settings(tmp_path)))
    assert any("the same prompts (random seed 1)" in reason for reason in result.verdict.reasons)


def test_nothing_becomes_a_baseline_without_an_environment(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    report = run_import(Import(paths=(runs_of("three", *THREE),)), settings(tmp_path, update=True, environment=None))
    assert report.accepted == ()
    assert len(report.refused) == 1


def test_a_directory_of_a_sweep_gives_a_case_for_each_load(tmp_path: Path) -> None:
    sweep = tuple(DATA / name for name in ("c1", "c8", "errors"))
    report = run_import(Import(paths=sweep), settings(tmp_path))
    assert [result.case.case_id for result in report.results] == [
        "gt-model-isl200-osl32-c1",
        "gt-model-isl200-osl32-c8",
        "fake-isl100-osl8-c4",
    ]
    with pytest.raises(UsageError, match="--case-id names one case, and the files are of 3"):
        imported(Import(paths=sweep, case_id="x"), settings(tmp_path))


def test_files_of_different_loads_are_not_runs_of_one_case(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    home = runs_of("three", *THREE)
    odd = home / "profile_runs" / "run_0002" / SUMMARY
    table = json.loads(odd.read_text())
    table["input_config"]["phases"][0]["requests"] = 640
    odd.write_text(json.dumps(table))
    with pytest.raises(UsageError, match=r"not runs of one case: requests is 64 and 640\. Import them one by one"):
        imported(Import(paths=(home,)), settings(tmp_path))
    with pytest.raises(UsageError, match="--fresh holds runs of gt-model-isl200-osl32-c1"):
        imported(Import(paths=(DATA / "c8",), fresh=(DATA / "c1",)), settings(tmp_path))


def test_options_name_and_complete_the_case(tmp_path: Path) -> None:
    request = Import(paths=(DATA / "c8",), suite="mine", case_id="today", gpus=2, known=Known(isl=115))
    result = only(run_import(request, settings(tmp_path)))
    assert (result.case.name, result.case.traffic.isl, result.case.topology.gpu_count) == ("mine/today", 115, 2)


def test_records_are_kept_and_can_be_exported_and_imported_again(tmp_path: Path) -> None:
    for place in range(1, 4):
        shutil.copytree(DATA / "c8", tmp_path / "three" / f"run_{place}")
    how = settings(tmp_path)
    first = only(run_import(Import(paths=(tmp_path / "three",)), how))
    assert len(first.records) == 3
    written = decode_session(json.loads((how.run_directory / "session.json").read_text()))
    assert written.results[0].verdict == first.verdict
    assert (how.run_directory / "report.html").stat().st_size > 10_000
    homes = export_session(how.run_directory, tmp_path / "out")
    assert [str(home.relative_to(tmp_path)) for home in homes] == [f"out/imported/gt-model-isl200-osl32-c8/run-{n}" for n in (1, 2, 3)]
    second = only(run_import(Import(paths=(tmp_path / "out",)), settings(tmp_path, number=2)))
    assert first.measurement is not None
    assert second.measurement is not None
    for ours, theirs in zip(first.measurement.runs, second.measurement.runs, strict=True):
        shared = ours.values.keys() & theirs.values.keys()
        assert len(shared) >= 36
        assert {cell: ours.values[cell] for cell in shared} == pytest.approx({cell: theirs.values[cell] for cell in shared}, rel=1e-8)
    one = how.run_directory / first.records[1]
    assert [home.name for home in export_session(one, tmp_path / "one")] == ["run-2"]


def test_nothing_to_export_is_an_error(tmp_path: Path, runs_of: Callable[..., Path]) -> None:
    how = settings(tmp_path)
    run_import(Import(paths=(runs_of("three", *THREE),)), how)
    with pytest.raises(UsageError, match="holds no records of requests"):
        export_session(how.run_directory, tmp_path / "out")
    with pytest.raises(UsageError, match=r"cannot read .*session\.json"):
        export_session(tmp_path / "reports", tmp_path / "out")
    (tmp_path / "lonely.jsonl").touch()
    with pytest.raises(UsageError, match="not a record file of a session"):
        export_session(tmp_path / "lonely.jsonl", tmp_path / "out")


# ---- which files


def test_the_phases_of_a_run_are_not_runs(tmp_path: Path) -> None:
    shutil.copytree(DATA / "c8", tmp_path / "run")
    shutil.copytree(DATA / "c8", tmp_path / "run" / "phases" / "warmup")
    assert found_files([tmp_path]) == (tmp_path / "run" / SUMMARY,)


def test_each_file_once_and_requests_stand_for_their_summary(tmp_path: Path) -> None:
    assert found_files([DATA / "c8", DATA / "c8" / SUMMARY, DATA / "c8" / RECORDS]) == (DATA / "c8" / SUMMARY,)


def test_results_of_vllm_are_found_among_other_json(tmp_path: Path) -> None:
    result = {"completed": 1, "duration": 1.0, "total_output_tokens": 5, "output_throughput": 5.0, "num_prompts": 1}
    (tmp_path / "a.json").write_text(json.dumps(result))
    (tmp_path / "other.json").write_text("[1]")
    (tmp_path / "half.json").write_text("{")
    assert found_files([tmp_path]) == (tmp_path / "a.json",)
    (tmp_path / "appended.json").write_text(f"{json.dumps(result)}\n{json.dumps(result)}")
    assert [run.file for run in read_runs(tmp_path / "appended.json", Known())] == [
        str(tmp_path / f"appended.json:{line}") for line in (1, 2)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"x\.json: not JSON"),
        ('{"a": 1, "b": 2}', r"x\.json: neither of AIPerf .* its keys are a, b, …"),
        ("[]", r"x\.json: holds list"),
    ],
)
def test_a_file_of_neither_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_runs(tmp_path / "x.json", Known())


def test_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run below it\. Looked for: profile_export_aiperf\.json"):
        found_files([tmp_path])
    with pytest.raises(UsageError, match="no such file or directory"):
        found_files([tmp_path / "nowhere"])
