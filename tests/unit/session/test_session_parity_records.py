"""Answers read from record files: the session's own judgement, and the same again from what it left."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.observation.record_file_writing import write_records
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.expectation import Parity
from pytest_dynperf.session.parity_records import parity_of, rejudged_parity
from pytest_dynperf.session.rejudged import Question, rejudge
from pytest_dynperf.session.session_files import read_sessions
from pytest_dynperf.verdict.arm_parity import with_parity
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_sessions import a_night, judged, named, written
from tests.fakes.observations import failed, record
from tests.fakes.session_reports import a_measurement

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.scenario.case import Case


def case_of(promise: Parity) -> Case:
    case = named("agg-c1-warm")
    return replace(case, arm="warm", expectation=replace(case.expectation, parity=promise))


CASE = case_of(Parity(reference="off"))
N = 400


def records(n: int = N, *, wrong: Collection[int] = (), text: str = "B", warmup: int = 2) -> list[RequestRecord]:
    """Measured requests with an item each, behind a warm-up that has none."""
    asked = [
        replace(record(index), item=f"facts/{index}", subject="facts", expected="B", answer="C" if index in wrong else text)
        for index in range(warmup, n + warmup)
    ]
    return [*(record(index, measured=False) for index in range(warmup)), *asked]


def file_of(root: Path, arm: str, lines: list[RequestRecord], run: str = "run-1") -> str:
    path = RunDirectory(root).records("concurrency_sweep", f"agg-c1-{arm}", run)
    write_records(path, lines)
    return str(path.relative_to(root))


def test_arms_that_agree_and_arms_that_do_not(tmp_path: Path) -> None:
    same = {"reference": [file_of(tmp_path, "off", records())], "candidate": [file_of(tmp_path, "warm", records())]}
    found = parity_of(CASE, same, tmp_path, name="agg-c1-off")
    assert (found.outcome, found.reference, found.accuracy and found.accuracy.n) == (Outcome.UNCHANGED, "agg-c1-off", N)
    file_of(tmp_path, "warm", records(wrong=range(100, 140)))
    assert parity_of(CASE, same, tmp_path).outcome is Outcome.REGRESSED


def test_what_failed_was_not_answered(tmp_path: Path) -> None:
    broken = records()
    broken[10] = replace(failed(10), item=broken[10].item, subject="facts", expected="B", answer="B")
    files = {"reference": [file_of(tmp_path, "off", records())], "candidate": [file_of(tmp_path, "warm", broken)]}
    found = parity_of(CASE, files, tmp_path)
    assert found.accuracy is not None
    assert (found.accuracy.losses, found.accuracy.unreadable_candidate) == (1, 1)


@pytest.mark.parametrize(
    ("reference", "candidate", "words"),
    [
        (records(text="Paris"), records(text="Paris"), f"{N} of {N} answers of the reference could not be read"),
        (records(), records(text=""), f"{N} of {N} answers of the candidate could not be read"),
        ([], [], "nothing was compared"),
        (records(), records(0), "the candidate answered no item"),
    ],
)
def test_nothing_passes_because_nothing_could_be_compared(
    tmp_path: Path, reference: list[RequestRecord], candidate: list[RequestRecord], words: str
) -> None:
    files = {"reference": [file_of(tmp_path, "off", reference)], "candidate": [file_of(tmp_path, "warm", candidate)]}
    found = parity_of(CASE, files, tmp_path)
    assert found.outcome is Outcome.INVALID
    assert words in found.reasons[0]


def test_an_arm_without_files_and_a_file_that_is_none(tmp_path: Path) -> None:
    assert parity_of(CASE, {"candidate": [file_of(tmp_path, "warm", records())]}, tmp_path).outcome is Outcome.INVALID
    files = {"reference": [file_of(tmp_path, "off", records())], "candidate": [file_of(tmp_path, "warm", records())]}
    (tmp_path / files["reference"][0]).write_bytes(gzip.compress(b'{"schema": 1}\n'))
    found = parity_of(CASE, files, tmp_path)
    assert found.outcome is Outcome.INVALID
    assert "run-1.jsonl.gz:1: not a request record" in found.reasons[0]


def test_texts_are_paired_by_prompt_also_where_the_reference_was_measured_for_this_arm(tmp_path: Path) -> None:
    case = case_of(Parity(reference="off", texts=True))
    said = [replace(record(index), answer=f"text {index}") for index in range(5)]
    files = {
        "reference": [file_of(tmp_path, "off", said, "for-warm-run-1"), file_of(tmp_path, "off", said, "for-warm-run-2")],
        "candidate": [file_of(tmp_path, "warm", said, "run-1"), file_of(tmp_path, "warm", said, "run-2")],
    }
    found = parity_of(case, files, tmp_path)
    assert (found.outcome, found.texts and found.texts.n) == (Outcome.UNCHANGED, 10)
    file_of(tmp_path, "warm", [*said[:4], replace(said[4], answer="another")], "run-2")
    found = parity_of(case, files, tmp_path)
    assert found.outcome is Outcome.REGRESSED
    assert (found.discordant[0].item, found.discordant[0].reference, found.discordant[0].candidate) == (
        "run-2 request 4",
        "text 4",
        "another",
    )


# ---- judged again


def night(root: Path, directory: Path, wrong: Collection[int]) -> CaseResult:
    result = judged(CASE, root, a_measurement(4))
    files = {"reference": [file_of(directory, "off", records())], "candidate": [file_of(directory, "warm", records(wrong=wrong))]}
    parity = parity_of(CASE, files, directory)
    return replace(result, verdict=with_parity(result.verdict, parity), parity=parity)


@pytest.mark.parametrize(("wrong", "outcome"), [((), Outcome.NO_BASELINE), (range(50), Outcome.REGRESSED)])
def test_the_same_answer_again_and_another_one_where_records_are_others(tmp_path: Path, wrong: Collection[int], outcome: Outcome) -> None:
    root = tmp_path / "baselines"
    root.mkdir()
    directory = tmp_path / "reports"
    result = night(root, directory, wrong)
    assert result.verdict.outcome is outcome
    file = written(directory, a_night(root, result))
    (session,) = read_sessions([file])
    run_directory = session.file.parent
    for kind in ("off", "warm"):
        file_of(run_directory, kind, records(wrong=wrong if kind == "warm" else ()))
    found = rejudge(session, Question())
    assert (found.differences, found.notes) == ((), ())
    assert found.report.results[0].verdict.outcome is outcome
    assert found.report.results[0].parity == result.parity

    file_of(run_directory, "warm", records(wrong=range(200)))
    other = rejudge(session, Question())
    assert other.report.results[0].verdict.outcome is Outcome.REGRESSED
    assert any(difference.name.startswith("parity") for difference in other.differences)


def test_where_the_records_are_gone_the_parity_of_the_night_stands_and_that_is_said(tmp_path: Path) -> None:
    root = tmp_path / "baselines"
    root.mkdir()
    result = night(root, tmp_path / "elsewhere", range(50))
    verdict, parity, note = rejudged_parity(result, replace(result.verdict, outcome=Outcome.NO_BASELINE, parity=None), tmp_path)
    assert (verdict.outcome, parity) == (Outcome.REGRESSED, result.parity)
    assert note is not None
    assert "its recorded parity stands: records/" in note
