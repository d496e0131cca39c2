"""What becomes a baseline, what does not and why, and what is said where the store cannot be read or written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.baseline.codec import encode
from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.store import document_files, load_anywhere, read, write
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.closing import close
from pytest_dynperf.session.ledger import ACCEPTABLE, Ledger, accept, accept_session, proposal_of, write_reports
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.verdict.verdict import Means, Outcome
from tests.fakes.session_reports import a_report, a_result, every_outcome

if TYPE_CHECKING:
    from pytest_dynperf.environment import Environment
    from pytest_dynperf.report.session_report import CaseResult, SessionReport


def settings(root: Path, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "session_id": "3f2a9c",
        "stamp": "20261121T030501Z",
        "seed": 7,
        "command": "pytest suites/",
        "rootdir": root,
        "baselines": root / "baselines",
        "run_directory": root / "reports" / "one",
        "cache_directory": root / "cache",
        "update": "write",
    }
    return Settings(**{**given, **changes})


def stored(root: Path) -> list[str]:
    return [load_anywhere(path).case_id for path in document_files(root / "baselines")]


def test_a_case_that_is_judged_twice_keeps_the_worse_verdict() -> None:
    ledger = Ledger(planned={"concurrency_sweep/agg-isl256-osl32-c4", "concurrency_sweep/other"})
    for outcome in (Outcome.REGRESSED, Outcome.UNCHANGED):
        ledger.add(a_result(4, outcome))
    assert [result.verdict.outcome for result in ledger.results.values()] == [Outcome.REGRESSED]
    assert ledger.missing == ("concurrency_sweep/other",)


@pytest.mark.parametrize("parity", [Outcome.REGRESSED, Outcome.INVALID, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("outcome", [Outcome.NO_BASELINE, Outcome.REGRESSED])
def test_without_a_shown_parity_nothing_becomes_a_baseline(tmp_path: Path, parity: Outcome, outcome: Outcome) -> None:
    asked = settings(tmp_path, accept_regression="it is meant")
    result = a_result(4, outcome)
    assert not isinstance(proposal_of(result, asked), str)
    assert "its answers" in str(proposal_of(replace(result, verdict=replace(result.verdict, parity=parity)), asked))


def test_exactly_what_may_be_accepted_is(tmp_path: Path) -> None:
    report, trouble = accept(every_outcome(), settings(tmp_path))
    assert trouble == ()
    expected = {result.case.case_id for result in report.results if result.verdict.outcome in ACCEPTABLE}
    assert set(stored(tmp_path)) == expected
    assert len(report.accepted) == len(expected) == 4
    assert {text.partition(": ")[2] for text in report.refused} == {
        'regressed: accept it with --accept-regression "reason"',
        "invalid, never a baseline",
        "inconclusive: measure again",
    }


def test_an_underpowered_case_is_accepted(tmp_path: Path) -> None:
    result = a_result(4)
    cells = tuple(replace(cell, underpowered=True) for cell in result.verdict.cells)
    accept(a_report(replace(result, verdict=replace(result.verdict, cells=cells))), settings(tmp_path))
    assert stored(tmp_path) == ["agg-isl256-osl32-c4"]


def test_without_the_option_nothing_is_written(tmp_path: Path) -> None:
    report = every_outcome()
    assert accept(report, settings(tmp_path, update="off")) == (report, ())
    assert stored(tmp_path) == []


def test_a_dry_run_names_the_same_files_and_writes_none(tmp_path: Path) -> None:
    dry, _ = accept(every_outcome(), settings(tmp_path, update="dry-run"))
    assert stored(tmp_path) == []
    wet, _ = accept(every_outcome(), settings(tmp_path))
    assert (dry.accepted, dry.refused) == (wet.accepted, wet.refused)


@pytest.mark.parametrize(
    "report",
    [a_report(a_result(4), missing=("concurrency_sweep/other",)), a_report(a_result(4), interrupted="Ctrl-C")],
    ids=["missing", "interrupted"],
)
def test_nothing_of_an_incomplete_session_is_accepted(tmp_path: Path, report: SessionReport) -> None:
    done, _ = accept(report, settings(tmp_path))
    assert (done.accepted, done.refused) == ((), ("nothing: the session is incomplete",))
    assert stored(tmp_path) == []


def test_an_environment_that_nobody_named_is_refused(tmp_path: Path) -> None:
    result = a_result(4)
    assert result.environment is not None
    unnamed = replace(result, environment=replace(result.environment, may_be_baseline=False))
    done, _ = accept(a_report(unnamed), settings(tmp_path))
    assert "--dynperf-environment" in done.refused[0]


def test_what_fake_gpus_gave_is_refused_whatever_else_is_said_of_the_environment(tmp_path: Path) -> None:
    result = a_result(4)
    assert result.environment is not None
    provenance = {**result.environment.provenance, "gpu_source": "fake", "gpu_source.why": "planted"}
    fake = replace(result, environment=replace(result.environment, provenance=provenance, may_be_baseline=True))
    done, _ = accept(a_report(fake), settings(tmp_path))
    assert "gpu_source: fake; planted" in done.refused[0]
    assert done.accepted == ()


def test_a_throttled_run_is_invalid_and_so_refused(tmp_path: Path) -> None:
    result = a_result(4)
    assert result.measurement is not None
    throttled = replace(result.measurement.runs[0], problems=("GPU 0 was throttled",))
    measurement = replace(result.measurement, runs=(throttled, *result.measurement.runs[1:]))
    done, _ = accept(a_report(replace(result, measurement=measurement)), settings(tmp_path))
    assert "GPU 0 was throttled" in done.refused[0]
    assert stored(tmp_path) == []


def test_an_accepted_regression_opens_an_epoch_that_later_sessions_keep(tmp_path: Path) -> None:
    accept(a_report(a_result(4)), settings(tmp_path))
    slower = a_report(a_result(4, Outcome.REGRESSED))
    accept(slower, settings(tmp_path, session_id="two", stamp="20261122T030501Z", accept_regression="new tokenizer"))
    accept(a_report(a_result(4)), settings(tmp_path, session_id="three", stamp="20261123T030501Z"))
    result = slower.results[0]
    assert result.environment is not None
    found = read(
        tmp_path / "baselines",
        suite=result.case.suite,
        case_id=result.case.case_id,
        key=binding_key(result.case, result.environment),
    )
    assert [(one.epoch, one.reason, one.session_id) for one in found.documents] == [
        (1, "new tokenizer", "two"),
        (1, "new tokenizer", "three"),
    ]


def test_a_store_that_cannot_be_read_is_no_store_without_epochs(tmp_path: Path) -> None:
    accept(a_report(a_result(4), a_result(16)), settings(tmp_path))
    damaged = next(path for path in document_files(tmp_path / "baselines") if "c4" in path.parts[-2])
    damaged.write_text("{")
    done, _ = accept(a_report(a_result(4), a_result(16)), settings(tmp_path, session_id="two", stamp="20261122T030501Z"))
    assert "cut off" in done.refused[0]
    assert len(done.accepted) == 1, "the other case is accepted all the same"


def test_a_store_that_cannot_be_written_is_trouble_and_the_report_is_written(tmp_path: Path) -> None:
    (tmp_path / "baselines").write_text("a file in the way")
    report, trouble = close(a_report(a_result(4)), settings(tmp_path))
    assert any("was not written: cannot write" in text for text in trouble)
    assert "cannot write" in report.refused[0]
    assert RunDirectory(tmp_path / "reports" / "one").session_json.exists()


# ---- proposals, and accepting them later


def finished(root: Path, *results: CaseResult, **changes: Any) -> SessionReport:
    report = a_report(*results, **changes)
    write_reports(report, settings(root, update="off"))
    return report


def later(root: Path, report: SessionReport, **changes: Any) -> tuple[dict[str, str], dict[str, str]]:
    done = accept_session(report, root / "reports" / "one", root / "baselines", **changes)
    return {name: path.name for name, path in done.accepted.items()}, dict(done.refused)


NAME = "concurrency_sweep/agg-isl256-osl32-c4"


def test_a_proposal_is_accepted_as_the_update_would_have(tmp_path: Path) -> None:
    report = finished(tmp_path, a_result(4))
    accepted, refused = later(tmp_path, report)
    assert (accepted, refused) == ({NAME: "20261121T030501Z-3f2a9c.json"}, {})
    (path,) = document_files(tmp_path / "baselines")
    expected = proposal_of(report.results[0], settings(tmp_path / "fresh"))
    assert not isinstance(expected, str)
    assert path.read_text() == encode(expected)
    assert "accepted before" in later(tmp_path, report)[1][NAME]


def test_a_dry_run_of_a_session_writes_nothing(tmp_path: Path) -> None:
    accepted, _ = later(tmp_path, finished(tmp_path, a_result(4)), dry_run=True)
    assert list(accepted) == [NAME]
    assert stored(tmp_path) == []


def test_only_the_cases_that_are_asked_for(tmp_path: Path) -> None:
    report = finished(tmp_path, a_result(4), a_result(16))
    assert list(later(tmp_path, report, case_pattern="*-c4")[0]) == [NAME]
    assert stored(tmp_path) == ["agg-isl256-osl32-c4"]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(Outcome.INVALID, "never a baseline"), (Outcome.INCONCLUSIVE, "measure again"), (Outcome.REGRESSED, "--accept-regression")],
)
def test_the_rules_are_those_of_the_update(tmp_path: Path, outcome: Outcome, words: str) -> None:
    accepted, refused = later(tmp_path, finished(tmp_path, a_result(4, outcome)))
    assert accepted == {}
    assert words in refused[NAME]


def test_nothing_of_an_incomplete_session_is_accepted_later_either(tmp_path: Path) -> None:
    assert later(tmp_path, finished(tmp_path, a_result(4), interrupted="Ctrl-C"))[1] == {NAME: "the session is incomplete"}


def test_a_regression_waits_apart_and_is_accepted_with_a_reason_into_the_next_epoch(tmp_path: Path) -> None:
    accept(a_report(a_result(4)), settings(tmp_path, session_id="first", stamp="20261101T000000Z"))
    report = finished(tmp_path, a_result(4, Outcome.REGRESSED))
    proposals = RunDirectory(tmp_path / "reports" / "one").proposals
    assert document_files(proposals) == (), "copying all proposals into the store accepts no regression"
    accepted, _ = later(tmp_path, report, accept_regression="new tokenizer")
    newest = load_anywhere(next(path for path in document_files(tmp_path / "baselines") if path.name == accepted[NAME]))
    assert (newest.epoch, newest.reason) == (1, "new tokenizer")


def _with_epoch_meanwhile(root: Path, result: CaseResult) -> None:
    document = proposal_of(result, settings(root, accept_regression="any"))
    assert not isinstance(document, str)
    write(root / "baselines", replace(document, session_id="meanwhile", epoch=3, reason="meant"))


def test_what_was_held_against_an_older_epoch_does_not_enter_a_newer_one(tmp_path: Path) -> None:
    report = finished(tmp_path, a_result(4))
    _with_epoch_meanwhile(tmp_path, report.results[0])
    accepted, refused = later(tmp_path, report)
    assert accepted == {}
    assert "a regression was accepted since" in refused[NAME]
    assert [load_anywhere(path).session_id for path in document_files(tmp_path / "baselines")] == ["meanwhile"]


def test_the_epoch_of_a_regression_is_that_of_the_store_at_the_time_of_acceptance(tmp_path: Path) -> None:
    report = finished(tmp_path, a_result(4, Outcome.REGRESSED))
    _with_epoch_meanwhile(tmp_path, report.results[0])
    later(tmp_path, report, accept_regression="meant too")
    assert {load_anywhere(path).epoch for path in document_files(tmp_path / "baselines")} == {3, 4}


def test_a_suspect_that_nothing_decided_is_no_baseline_because_another_cell_is_new(tmp_path: Path) -> None:
    """Incomparable is the worse outcome of the two, and may be accepted; the suspect must not."""
    result = a_result(4, Outcome.INCOMPARABLE)
    first, *rest = result.verdict.cells
    assert first.decisive
    suspect = replace(first, outcome=Outcome.INCONCLUSIVE, suspect=True)
    verdict = replace(result.verdict, cells=(suspect, *rest))
    done, _ = accept(a_report(replace(result, verdict=verdict)), settings(tmp_path))
    assert done.accepted == ()
    assert f"{suspect.cell} is inconclusive: measure again" in done.refused[0]
    shown = replace(suspect, decisive=False)
    done, _ = accept(a_report(replace(result, verdict=replace(verdict, cells=(shown, *rest)))), settings(tmp_path))
    assert len(done.accepted) == 1, "a gate that is not decisive keeps nothing out"


def test_what_was_measured_on_a_dirty_tree_is_refused_where_the_store_is_reviewed(tmp_path: Path) -> None:
    result = a_result(4)
    assert result.environment is not None
    environment: Environment = replace(result.environment, provenance={**result.environment.provenance, "git.dirty": "yes"})
    report = finished(tmp_path, replace(result, environment=environment))
    inside = Path(__file__).parents[3] / "baselines"
    done = accept_session(report, tmp_path / "reports" / "one", inside, dry_run=True)
    assert "dirty" in done.refused[NAME]
    assert later(tmp_path, report)[1] == {}, "a store outside of a repository is nobody's reviewed memory"


def test_a_case_whose_store_cannot_be_read_keeps_no_other_from_being_accepted(tmp_path: Path) -> None:
    accept(a_report(a_result(4)), settings(tmp_path, session_id="before", stamp="20261101T000000Z"))
    report = finished(tmp_path, a_result(4), a_result(16))
    (damaged,) = document_files(tmp_path / "baselines")
    damaged.write_text("{")
    accepted, refused = later(tmp_path, report)
    assert list(accepted) == [NAME.replace("c4", "c16")]
    assert "cut off" in refused[NAME]


def test_a_session_that_kept_no_proposal_says_so(tmp_path: Path) -> None:
    assert "holds no proposal" in later(tmp_path, a_report(a_result(4)))[1][NAME]


def test_a_regression_that_a_fresh_session_confirmed_is_accepted_as_the_fresh_session_saw_it(tmp_path: Path) -> None:
    result = a_result(4, Outcome.REGRESSED, factor=1.3)
    fresh = a_result(4, factor=1.2).measurement
    assert result.verdict.means is Means.FRESH_SESSION
    document = proposal_of(replace(result, confirmation=fresh), settings(tmp_path, accept_regression="known"))
    assert not isinstance(document, str)
    assert fresh is not None
    assert [run.values for run in document.runs] == [run.values for run in fresh.runs]
    assert result.measurement is not None
    assert [run.values for run in document.runs] != [run.values for run in result.measurement.runs], "it was picked for being far off"


def test_a_page_that_cannot_be_made_leaves_the_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_report: SessionReport, _drilldown: object) -> str:
        msg = "no template named page"
        raise LookupError(msg)

    monkeypatch.setattr("pytest_dynperf.session.pages.render", stumble)
    report, trouble = close(a_report(a_result(4)), settings(tmp_path, update="off"))
    assert [result.verdict.outcome for result in report.results] == [Outcome.UNCHANGED]
    assert trouble == ("the report was not written: LookupError, which is a defect, please report it: no template named page",)
