"""Which session goes on, and what keeps it from it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.session_lock import Trace, hold_session
from pytest_dynperf.errors import UsageError
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.closing import close
from pytest_dynperf.session.ledger import accept
from pytest_dynperf.session.resume import (
    Invocation,
    check_cases,
    check_same,
    earlier_part,
    facts_of,
    find_resumable,
    read_invocation,
    write_invocation,
)
from pytest_dynperf.session.session_files import read_session
from pytest_dynperf.session.unfinished import UNFINISHED, remove_unfinished, write_unfinished
from tests.fakes.session_reports import a_report, a_result
from tests.unit.session.test_session_ledger import settings

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.session.plan import Settings

SELECTION = {"paths": "/here/suites", "-k": "", "-m": ""}


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "leases"
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(directory))
    return directory


def begun(root: Path, session: str, *, stamp: str = "20260101T000000Z", paths: str = "/here/suites", complete: bool = False) -> Settings:
    """A session with one case that has finished, and one that is missing unless it is complete."""
    given = settings(root, session_id=session, stamp=stamp, run_directory=root / "reports" / f"{stamp}-{session}")
    report = replace(a_report(a_result(4)), session_id=session, stamp=stamp, missing=() if complete else ("concurrency_sweep/other",))
    write_invocation(
        Invocation(
            session_id=session,
            stamp=stamp,
            seed=7,
            command="pytest suites/",
            selection=SELECTION | {"paths": paths},
            facts={"commit": "abc", "python": "CPython 3.11.9"},
        ),
        RunDirectory(given.run_directory),
    )
    if complete:
        close(report, given)
    else:
        write_unfinished(report, given)
    return given


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = RunDirectory(begun(tmp_path, "aa").run_directory)
    found = read_invocation(run)
    assert (found.session_id, found.seed, found.selection) == ("aa", 7, SELECTION)
    write_invocation(replace(found, resumed=("20260102T000000Z",)), run)
    assert read_invocation(run).resumed == ("20260102T000000Z",)


def test_the_latest_incomplete_one_of_the_same_tests(tmp_path: Path) -> None:
    begun(tmp_path, "old")
    begun(tmp_path, "wanted", stamp="20260102T000000Z")
    begun(tmp_path, "others", stamp="20260103T000000Z", paths="/here/other_suite")
    begun(tmp_path, "done", stamp="20260104T000000Z", complete=True)
    (tmp_path / "reports" / "20260105T000000Z-cut").mkdir()
    assert find_resumable(tmp_path / "reports", "latest", SELECTION).session_id == "wanted"


@pytest.mark.parametrize("name", ["aa", "20260101T000000Z-aa", "reports/20260101T000000Z-aa"])
def test_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    begun(tmp_path, "aa")
    monkeypatch.chdir(tmp_path)
    assert find_resumable(tmp_path / "reports", name, {}).session_id == "aa", "whoever names it need not select by the same words"


def test_none_that_could_be_meant(tmp_path: Path) -> None:
    begun(tmp_path, "others", paths="/here/other_suite")
    with pytest.raises(UsageError, match="no incomplete session of /here/suites; 1 of other tests"):
        find_resumable(tmp_path / "reports", "latest", SELECTION)
    with pytest.raises(UsageError, match="no incomplete session"):
        find_resumable(tmp_path / "nowhere", "latest", SELECTION)


def test_a_name_that_is_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path, "aa")
    (tmp_path / "suites").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="holds no such session; the latest are 20260101T000000Z-aa"):
        find_resumable(tmp_path / "reports", "bb", SELECTION)
    with pytest.raises(UsageError, match="write it before --dynperf-resume"):
        find_resumable(tmp_path / "reports", "suites", SELECTION)
    begun(tmp_path / "else", "cc")
    with pytest.raises(UsageError, match="add --dynperf-reports="):
        find_resumable(tmp_path / "reports", str(tmp_path / "else" / "reports" / "20260101T000000Z-cc"), SELECTION)


def test_a_complete_one_is_refused(tmp_path: Path) -> None:
    begun(tmp_path, "aa", complete=True)
    with pytest.raises(UsageError, match="complete, nothing is missing"):
        find_resumable(tmp_path / "reports", "aa", SELECTION)


def test_one_that_still_runs_is_refused(tmp_path: Path, leases: Path) -> None:
    given = begun(tmp_path, "aa")
    lock = hold_session(Trace(session_id="aa", boot="", temporary=tmp_path, run_directory=given.run_directory), leases)
    try:
        with pytest.raises(UsageError, match="still runs"):
            find_resumable(tmp_path / "reports", "aa", SELECTION)
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "there is no invocation.json"), ("{", "cannot be read"), ('{"schema": 99}', "schema 1"), ('{"schema": 1}', "session_id")],
)
def test_one_that_nobody_knows_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    run = RunDirectory(begun(tmp_path, "aa").run_directory)
    run.invocation_json.unlink()
    if text is not None:
        run.invocation_json.write_text(text)
    with pytest.raises(UsageError, match=says):
        find_resumable(tmp_path / "reports", "aa", SELECTION)


def test_all_that_differs_is_named(tmp_path: Path) -> None:
    before = read_invocation(RunDirectory(begun(tmp_path, "aa").run_directory))
    check_same(before, before.facts, seed=None)
    check_same(before, before.facts, seed=7)
    now = {"commit": "def", "python": "CPython 3.11.9", "--dynperf-set": "traffic.isl=512"}
    with pytest.raises(UsageError) as caught:
        check_same(before, now, seed=8)
    for text in ("commit was abc, is def", "--dynperf-set was not set, is traffic.isl=512", "--dynperf-seed was 7, is 8"):
        assert text in str(caught.value)
    assert "python" not in str(caught.value)


def test_the_cases_must_be_the_same(tmp_path: Path) -> None:
    report = earlier_part(RunDirectory(begun(tmp_path, "aa").run_directory))
    names = [result.case.name for result in report.results]
    check_cases(report, [*names, "concurrency_sweep/other"])
    with pytest.raises(UsageError, match="lacks concurrency_sweep/other and adds concurrency_sweep/new"):
        check_cases(report, [*names, "concurrency_sweep/new"])


def test_the_commit_and_what_is_not_in_it_are_facts(tmp_path: Path) -> None:
    given = settings(tmp_path, endpoint_url="http://127.0.0.1:1", model="m")
    assert "commit" not in facts_of(given, "attached", {}), "no repository"

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "engine.py").write_text("1")
    git("add", "engine.py")
    git("commit", "-qm", "one")
    clean = facts_of(given, "attached", {"pytest": "9"})
    assert clean["commit"]
    assert "uncommitted changes" not in clean
    seen = []
    for content in ("2", "3", "2"):
        (tmp_path / "engine.py").write_text(content)
        seen.append(facts_of(given, "attached", {})["uncommitted changes"])
    assert seen[0] == seen[2] != seen[1], "the same changes are the same"
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "x").write_text("what the first part has written")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "engine.pyc").write_text("x")
    assert facts_of(given, "attached", {})["uncommitted changes"] == seen[2]


# ---- session.json while it goes on


def test_an_unfinished_session_is_incomplete_and_says_what_has_finished(tmp_path: Path) -> None:
    given = begun(tmp_path, "aa")
    report = read_session(RunDirectory(given.run_directory).session_json)
    assert not report.complete
    assert report.interrupted == UNFINISHED
    assert [result.case.case_id for result in report.results] == ["agg-isl256-osl32-c4"]
    assert report.missing == ("concurrency_sweep/other",)
    assert accept(report, given)[0].accepted == (), "and never becomes a baseline"


def test_one_with_every_case_is_incomplete_too_until_it_is_closed(tmp_path: Path) -> None:
    given = settings(tmp_path)
    write_unfinished(a_report(a_result(4)), given)
    assert not read_session(RunDirectory(given.run_directory).session_json).complete
    close(a_report(a_result(4)), given)
    assert read_session(RunDirectory(given.run_directory).session_json).complete


def test_before_the_first_baseline_is_written_the_session_is_complete_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(tmp_path)
    seen: list[bool] = []

    def killed(*_: object) -> object:
        seen.append(read_session(RunDirectory(given.run_directory).session_json).complete)
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_dynperf.session.ledger.accept", killed)
    with pytest.raises(KeyboardInterrupt):
        close(a_report(a_result(4)), given)
    assert seen == [True]


def test_nothing_to_measure_leaves_no_session(tmp_path: Path) -> None:
    given = begun(tmp_path, "aa")
    remove_unfinished(given)
    run = RunDirectory(given.run_directory)
    assert not run.session_json.exists()
    assert not run.invocation_json.exists()


def test_a_part_survives_the_file(tmp_path: Path) -> None:
    given = settings(tmp_path)
    report = replace(a_report(a_result(4), replace(a_result(16), part=2)), resumed=("20260102T000000Z",))
    write_unfinished(report, given)
    path = RunDirectory(given.run_directory).session_json
    read = read_session(path)
    assert [result.part for result in read.results] == [1, 2]
    assert [result.case.case_id for result in read.earlier] == ["agg-isl256-osl32-c4"]
    older = json.loads(path.read_text())
    del older["resumed"]
    for case in older["cases"]:
        del case["part"]
    path.write_text(json.dumps(older))
    assert [result.part for result in read_session(path).results] == [1, 1]
