"""Judged again from files: the same answer as in the night, and another one only where something else was asked or planted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.errors import BaselineError, UsageError
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.report.session_report import withheld
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.session.rejudged import WITHHELD, Question, Rejudged, rejudge
from pytest_dynperf.session.session_files import read_sessions
from pytest_dynperf.verdict.verdict import Means, Outcome
from tests.fakes.judged_sessions import EARLIER, a_night, accepted, every_way, judged, named, written
from tests.fakes.session_reports import GATES, ITL, THROUGHPUT, a_measurement

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.measurement.measurement import Measurement, Run
    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.scenario.case import Case

WAIVER = """
[[waiver]]
case = "concurrency_sweep/*"
reason = "known, and being worked on"
link = "https://example.org/1"
expires = {expires}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "baselines"


def again(directory: Path, question: Question | None = None) -> Rejudged:
    (session,) = read_sessions([directory])
    return rejudge(session, question or Question())


def of(found: Rejudged, case_id: str) -> CaseResult:
    (result,) = (result for result in found.report.results if result.case.case_id == case_id)
    return result


def test_every_outcome_is_the_same_again_cell_by_cell(root: Path, tmp_path: Path) -> None:
    results = every_way(root)
    reached = {result.case.case_id: (result.verdict.outcome, result.verdict.means) for result in results}
    assert reached == {
        "unchanged": (Outcome.UNCHANGED, None),
        "improved": (Outcome.IMPROVED, None),
        "suspect": (Outcome.INCONCLUSIVE, None),
        "cleared": (Outcome.INCONCLUSIVE, Means.FRESH_SESSION),
        "regressed": (Outcome.REGRESSED, Means.FRESH_SESSION),
        "duet-regressed": (Outcome.REGRESSED, Means.DUET),
        "duet-cleared": (Outcome.UNCHANGED, Means.DUET),
        "duet-open": (Outcome.INCONCLUSIVE, Means.DUET),
        "pooled": (Outcome.UNCHANGED, None),
        "elsewhere": (Outcome.INCOMPARABLE, None),
        "new": (Outcome.NO_BASELINE, None),
        "broken": (Outcome.INVALID, None),
        "failed": (Outcome.INVALID, None),
    }
    found = again(written(tmp_path, a_night(root, *results)))
    assert found.differences == ()
    for before, now in zip(results, found.report.results, strict=True):
        assert now.verdict == withheld(before).verdict, before.case.case_id
    assert found.notes == (f"concurrency_sweep/failed: {WITHHELD}",)
    assert {result.case.case_id for result in found.report.results if result.suspicions} == {"regressed", "duet-regressed"}


def test_what_the_night_could_not_know_takes_no_part(root: Path, tmp_path: Path) -> None:
    results = every_way(root)
    night = a_night(root, *results)
    directory = written(tmp_path, night)
    accepted(root, named("unchanged"), night.stamp, 1.05, session_id=night.session_id)
    accepted(root, named("new"), night.stamp, 1.0, session_id=night.session_id)
    accepted(root, named("improved"), "20261122T030000Z", 0.8)
    assert again(directory).differences == ()
    found = again(directory, Question(all_baselines=True))
    assert of(found, "new").verdict.outcome is Outcome.UNCHANGED
    assert {difference.case.partition("/")[2] for difference in found.differences} == {"new", "improved", "unchanged"}


def test_a_document_that_came_later_under_an_earlier_stamp_takes_no_part(root: Path, tmp_path: Path) -> None:
    results = every_way(root)
    directory = written(tmp_path, a_night(root, *results))
    late = "20261110T040000Z"  # after the other documents, before the night
    for case_id in ("unchanged", "new"):
        accepted(root, named(case_id), late, 1.05, session_id="late00")
    accepted(root, named("elsewhere"), late, 1.0, session_id="late00")
    found = again(directory)
    assert found.differences == ()
    assert of(found, "unchanged").verdict.compared_with == tuple(f"{stamp}-aaaaaa" for stamp in EARLIER)
    assert of(found, "new").verdict.compared_with == ()
    assert of(found, "elsewhere").verdict.compared_with == (f"{EARLIER[0]}-aaaaaa",)
    assert of(again(directory, Question(all_baselines=True)), "new").verdict.outcome is Outcome.UNCHANGED


def test_a_file_that_does_not_name_its_documents_is_judged_by_those_before_it(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    file = directory / "session.json"
    document: Any = json.loads(file.read_text())
    for case in document["cases"]:
        del case["verdict"]["compared_with"], case["verdict"]["circumstances"]
    file.write_text(json.dumps(document))
    assert again(directory).differences == ()
    accepted(root, named("new"), "20261122T030000Z", 1.0)
    assert again(directory).differences == ()
    accepted(root, named("new"), "20261110T040000Z", 1.0)
    assert [difference.now for difference in again(directory).differences if difference.cell is None] == ["unchanged"]


def test_a_store_that_holds_none_of_the_documents_is_refused(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    accepted(tmp_path / "other", named("unchanged"), EARLIER[0], 1.0, session_id="bbbbbb")
    with pytest.raises(
        UsageError, match=r"other: none of the 10 documents that .*session\.json was compared with is there.*--all-baselines"
    ):
        again(directory, Question(baselines=tmp_path / "other"))
    found = again(directory, Question(baselines=tmp_path / "other", all_baselines=True))
    assert of(found, "unchanged").verdict.outcome is Outcome.UNCHANGED


@pytest.mark.parametrize("question", [Question(), Question(tolerances={ITL: 0.3}), Question(all_baselines=True)])
def test_what_was_not_measured_and_why_is_said_again(question: Question, root: Path, tmp_path: Path) -> None:
    """Nothing in the measurements says that there was no time for more."""
    spent = "the budget of 5 min is spent"
    results = tuple(
        replace(result, verdict=result.verdict.under(spent)) if result.case.case_id == "suspect" else result for result in every_way(root)
    )
    found = again(written(tmp_path, a_night(root, *results)), question)
    assert of(found, "suspect").verdict.reasons[-1] == spent
    assert of(found, "suspect").verdict.circumstances == (spent,)
    assert not of(found, "cleared").verdict.circumstances
    if not question.changes_expectation:
        assert found.differences == ()


def test_the_terms_of_the_night_are_those_of_the_file(root: Path, tmp_path: Path) -> None:
    """A prior of 20 % made the night blind; without it the same runs are suspect."""
    directory = written(tmp_path, a_night(root, *every_way(root)))
    (session,) = read_sessions([directory])
    (pooled,) = (result for result in session.report.results if result.case.case_id == "pooled")
    assert pooled.prior_sd == {ITL.metric: 0.2, THROUGHPUT.metric: 0.2}
    forgetful = replace(session, report=replace(session.report, results=(replace(pooled, prior_sd={}),)))
    found = rejudge(forgetful, Question())
    assert of(found, "pooled").verdict.outcome is Outcome.INCONCLUSIVE
    assert found.differences


@pytest.mark.parametrize("planted", ["outcome", "delta", "cell"])
def test_a_verdict_that_was_tampered_with_is_named(planted: str, root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    file = directory / "session.json"
    document: Any = json.loads(file.read_text())
    (case,) = (case for case in document["cases"] if case["case_id"] == "regressed")
    (metric,) = (metric for metric in case["metrics"] if metric["id"] == ITL.metric and metric["statistic"] == "p50")
    if planted == "outcome":
        case["verdict"]["outcome"] = "unchanged"
    elif planted == "delta":
        metric["verdict"]["delta"] *= 1.0001
    else:
        metric["verdict"] = None
    file.write_text(json.dumps(document))
    (difference,) = again(directory).differences
    assert difference.case == "concurrency_sweep/regressed"
    expected = {"outcome": (None, "unchanged", "regressed"), "cell": (ITL, "not judged", "regressed")}
    if planted in expected:
        assert (difference.cell, difference.recorded, difference.now) == expected[planted]
    else:
        assert (difference.cell, difference.name) == (ITL, "delta")
        assert difference.recorded != difference.now


def test_another_tolerance_another_answer(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    tolerances = {gate.cell: 0.5 for gate in GATES}
    found = again(directory, Question(tolerances=tolerances))
    assert of(found, "regressed").verdict.outcome is Outcome.UNCHANGED
    assert {gate.tolerance for gate in of(found, "regressed").case.expectation.gates} == {0.5}
    assert any(difference.now == "unchanged" for difference in found.differences)


def test_other_gates_judge_other_cells(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    gate = Gate(cell=Cell("output_token_throughput_per_user.v1", "p50"), tolerance=0.03)
    found = again(directory, Question(gates=(gate,)))
    assert [cell.cell for cell in of(found, "regressed").verdict.cells] == [gate.cell]
    assert of(found, "regressed").verdict.outcome is Outcome.REGRESSED
    assert of(found, "duet-regressed").verdict.means is Means.DUET


def test_a_metric_that_is_not_known_here_is_judged_by_what_the_file_says(root: Path, tmp_path: Path) -> None:
    ours = Cell("stall_of_an_extension.v3", "p50")
    means = replace(MEANINGS[ITL.metric], id=ours.metric)
    case = replace(named("extension"), expectation=Expectation(gates=(Gate(cell=ours, tolerance=0.03),)))

    def renamed(measurement: Measurement) -> Measurement:
        return replace(measurement, runs=tuple(_renamed(run, ours) for run in measurement.runs))

    _documents_of_an_extension(root, case, ours)
    slow = renamed(a_measurement(4, 1.2))
    night = judged(case, root, slow, fresh=slow, meanings={means.id: means})
    assert night.verdict.outcome is Outcome.REGRESSED
    found = again(written(tmp_path, a_night(root, night)))
    (cell,) = of(found, "extension").verdict.cells
    assert (cell.cell, cell.outcome, found.differences) == (ours, Outcome.REGRESSED, ())
    nameless = again(written(tmp_path / "nameless", a_night(root, replace(night, meanings={}))))
    assert of(nameless, "extension").verdict.outcome is Outcome.INVALID, "nothing says which way is worse"


def _renamed(run: Run, cell: Cell) -> Run:
    return replace(run, values={cell: run.values[ITL]}, distributions={}, parts={}, absent={})


def _documents_of_an_extension(root: Path, case: Case, cell: Cell) -> None:
    """As a machine with the extension has written them."""
    for stamp in EARLIER:
        accepted(root, case, stamp, 1.0)
    for path in root.glob("*/*/extension/*.json"):
        document: Any = json.loads(path.read_text())
        document["metrics"] = {cell.metric: document["metrics"][ITL.metric]}
        for run in document["runs"]:
            run["values"] = {f"{cell.metric}/p50": run["values"][f"{ITL.metric}/p50"]}
            run["distributions"], run["parts"] = {}, {}
        path.write_text(json.dumps(document))


def test_a_waiver_of_today_is_seen_and_is_no_difference(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    (root / "waivers.toml").write_text(WAIVER.format(expires="2026-11-21"))
    found = again(directory)
    waiver = of(found, "regressed").verdict.waiver
    assert isinstance(waiver, Waiver)
    assert waiver.link == "https://example.org/1"
    assert found.differences == ()
    (root / "waivers.toml").write_text(WAIVER.format(expires="2026-11-20"))
    late = of(again(directory), "regressed").verdict
    assert (late.waiver, len(late.expired)) == (None, 1)


def test_baselines_that_are_not_here_are_asked_for(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    root.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"session\.json: it was compared with baselines in .*--baselines DIR"):
        again(directory)
    assert again(directory, Question(baselines=tmp_path / "moved")).differences == ()
    with pytest.raises(UsageError, match="no such directory of baselines"):
        again(directory, Question(baselines=tmp_path / "nowhere"))


def test_a_night_without_a_date_is_refused(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)[:1], stamp="yesterday"))
    with pytest.raises(UsageError, match=r"key 'stamp' is 'yesterday', expected UTC such as"):
        again(directory)


def test_a_first_night_needs_no_baselines(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, judged(named("new"), root, a_measurement(4))))
    assert not root.exists()
    assert again(directory).differences == ()


def test_a_document_that_cannot_be_read_makes_the_case_invalid(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    path = next(root.glob("*/*/unchanged/*.json"))
    path.write_text("{")
    found = again(directory)
    assert of(found, "unchanged").verdict.outcome is Outcome.INVALID
    assert path.name in of(found, "unchanged").verdict.reasons[0]
    assert of(found, "improved").verdict.outcome is Outcome.IMPROVED
    (root / "waivers.toml").write_text("[")
    with pytest.raises(BaselineError, match=r"waivers\.toml"):
        again(directory)


def test_nothing_of_the_session_is_changed(root: Path, tmp_path: Path) -> None:
    directory = written(tmp_path, a_night(root, *every_way(root)))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again(directory, Question(tolerances={THROUGHPUT: 0.5}))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
