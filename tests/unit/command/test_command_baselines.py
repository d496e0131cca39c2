"""`dynperf baselines` as somebody types it: what is printed, written, deleted and returned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_dynperf.baseline.anchor import is_marked
from pytest_dynperf.baseline.store import document_files, load_anywhere, write
from pytest_dynperf.command.main import main
from pytest_dynperf.session.ledger import write_reports
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.observations import THROUGHPUT, TTFT, document_of
from tests.fakes.session_reports import a_report, a_result
from tests.unit.session.test_session_ledger import settings

CASE = "smoke/agg-isl256-osl3-c4"
STORE = Path("baselines")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def filled(count: int = 3) -> list[Path]:
    """Session ``number`` has a TTFT p50 of 51 ms and ``number`` per cent more."""
    columns = [{TTFT: [v * (1 + n / 100) for v in (0.05, 0.051, 0.052)], THROUGHPUT: [96.0, 97.0, 98.0]} for n in range(count)]
    return [write(STORE, document_of(column, number=number)) for number, column in enumerate(columns)]


def dynperf(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["baselines", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("words", [[], ["list"], ["show"], ["diff"], ["accept"], ["anchor"], ["prune"], ["collect"]])
def test_every_subcommand_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = dynperf(capsys, *words, "--help")
    assert code == 0
    assert f"usage: dynperf baselines {' '.join(words)}".rstrip() in out
    assert "--dynperf-" not in out
    assert len(out) > 300


def test_list_says_how_many_how_new_and_how_noisy(capsys: pytest.CaptureFixture[str]) -> None:
    filled(3)
    code, out, err = dynperf(capsys, "list")
    assert (code, err) == (0, "")
    assert re.search(rf"^mocker-xeon-1a2b3c4d\n  {CASE}: 3 sessions, newest 2026-11-21 07:02:00 UTC, no anchor$", out, re.MULTILINE)
    assert re.search(r"TTFT p50 +51\.5 ms +CV 1 % +MDE \d+\.\d %", out)
    assert dynperf(capsys, "list", "--case", "other/*") == (
        0,
        "no baseline that fits --case other/* below baselines; --baselines DIR names another store\n",
        "",
    )


def test_list_shows_a_document_that_cannot_be_read_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    filled(2)
    write(STORE, document_of({TTFT: (0.05,) * 3}, number=9, key={"a": "b"})).write_text("{")
    code, out, err = dynperf(capsys, "list")
    assert (code, out) == (1, "")
    assert "is cut off" in err


def test_list_shows_a_value_below_zero_with_its_place_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    path = filled(2)[0]
    text = path.read_text()
    assert text.count('"time_to_first_token.v1/p50": 0.05\n') == 1
    path.write_text(text.replace('"time_to_first_token.v1/p50": 0.05\n', '"time_to_first_token.v1/p50": -0.05\n'))
    code, out, err = dynperf(capsys, "list")
    assert (code, out) == (1, "")
    assert f"{path} is not a baseline document: 'time_to_first_token.v1/p50' of runs[0].values is -0.05" in err


def test_list_says_which_metric_no_comparison_can_use(capsys: pytest.CaptureFixture[str]) -> None:
    write(STORE, document_of({TTFT: (0.0,) * 3, THROUGHPUT: (97.0,) * 3}))
    code, out, err = dynperf(capsys, "list")
    assert (code, err) == (0, "")
    assert "    TTFT p50 cannot be compared: run run-1: a value is not positive and finite" in out
    assert re.search(r"throughput +97\.0 tok/s", out)


def test_without_a_store_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list"], ["show", CASE], ["anchor", CASE], ["prune"]):
        code, _, err = dynperf(capsys, *words)
        assert code == 2
        assert "there is no store of baselines at baselines" in err


def test_show_a_document_and_a_case(capsys: pytest.CaptureFixture[str]) -> None:
    paths = filled(12)
    code, out, _ = dynperf(capsys, "show", str(paths[0]))
    assert code == 0
    assert re.search(r"TTFT p50 +50\.0 ms +51\.0 ms +52\.0 ms", out)
    assert re.search(r"cpu\.model +Xeon", out)
    assert re.search(r"dynamo\.version +1\.4\.2", out)
    code, out, _ = dynperf(capsys, "show", CASE)
    assert code == 0
    assert re.search(r"20261121T070100Z +s001 +0 +3 +97\.0 tok/s +– +51\.5 ms +not in the ring", out)
    assert out.count("not in the ring") == 2
    assert dynperf(capsys, "show", "smoke/other")[0] == 2


def test_diff_of_two_documents_and_of_what_is_not_comparable(capsys: pytest.CaptureFixture[str]) -> None:
    first, _, third = filled(3)
    code, out, _ = dynperf(capsys, "diff", str(first), str(third))
    assert code == 0
    assert re.search(r"TTFT p50 +51\.0 ms → 52\.0 ms +\+2\.0 % \[.*\] +MDE", out)
    assert "not comparable" not in out
    other = write(STORE, document_of({TTFT: (0.05,) * 3}, number=9, key={"a": "b"}))
    _, out, _ = dynperf(capsys, "diff", str(first), str(other))
    assert "not comparable: the keys differ" in out
    assert re.search(r"cpu\.model +Xeon → \(not recorded\)", out)


@pytest.mark.parametrize("command", ["show", "anchor"])
def test_a_file_that_is_not_there_is_no_case(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    filled(1)
    code, _, err = dynperf(capsys, command, "gone.json")
    assert code == 2
    assert "there is no file gone.json" in err


def test_accept_a_session_by_the_rules(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_reports(a_report(a_result(4), a_result(16, Outcome.REGRESSED)), settings(tmp_path))
    code, out, _ = dynperf(capsys, "accept", "reports/one", "--dry-run")
    assert code == 1
    assert "would accept concurrency_sweep/agg-isl256-osl32-c4: baselines/" in out
    assert 'would refuse concurrency_sweep/agg-isl256-osl32-c16: regressed: accept it with --accept-regression "reason"' in out
    assert re.search(r"TTFT p50 +\S+ ms → \S+ ms +\S+ % \[.*\] +MDE", out)
    assert document_files(STORE) == ()
    assert dynperf(capsys, "accept", "reports/one", "--case", "*-c4")[0] == 0
    assert dynperf(capsys, "accept", "reports/one", "--case", "*-c16", "--accept-regression", "meant")[0] == 0
    assert sorted(load_anywhere(path).reason or "" for path in document_files(STORE)) == ["", "meant"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["accept", "nowhere"], "nowhere: cannot be read"),
        (["accept", "reports/one", "--case", "other"], "no case of reports/one matches --case 'other'"),
        (["accept", "reports/one", "--accept-regression", " "], "a reason that somebody can read in a year"),
        (["prune", "--write", "--dry-run"], "not allowed with argument"),
        (["collect", "nowhere"], "there is no suite at nowhere"),
        (["collect", ".", "--sessions", "0"], "'0' is not a whole number from 1"),
        (["collect", ".", "--", "--update-baselines=dry-run"], "--update-baselines=dry-run after -- has no meaning"),
        (["diff", "reports/one/session.json", "x"], "is not a baseline document"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_reports(a_report(a_result(4)), settings(tmp_path))
    code, _, err = dynperf(capsys, *words)
    assert code == 2
    assert said in err


def test_an_anchor_is_kept_by_prune(capsys: pytest.CaptureFixture[str]) -> None:
    paths = filled(13)
    code, out, _ = dynperf(capsys, "anchor", str(paths[0]))
    assert (code, out.splitlines()) == (0, [f"anchor: {paths[0]}", f"commit {str(paths[0]).removesuffix('.json')}.anchor"])
    assert "anchor 2026-11-21 07:00:00 UTC" in dynperf(capsys, "list")[1]
    code, out, _ = dynperf(capsys, "prune")
    assert (code, out.splitlines()) == (
        0,
        [f"would delete {paths[1]}", f"would delete {paths[2]}", "nothing was deleted; --write does it"],
    )
    assert all(path.exists() for path in paths)
    assert dynperf(capsys, "prune", "--write")[:2] == (0, f"deleted {paths[1]}\ndeleted {paths[2]}\n")
    assert [path.exists() for path in paths[:4]] == [True, False, False, True]
    assert "nothing to prune" in dynperf(capsys, "prune", "--write")[1]
    code, out, _ = dynperf(capsys, "anchor", CASE)
    assert (code, out.splitlines()[-1]) == (0, f"before: {paths[0]}")
    assert [is_marked(path) for path in (paths[0], paths[12])] == [False, True]
