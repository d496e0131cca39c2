"""``dynperf judge`` at the command line: what it prints and writes, what it returns, and what it says of files that are no sessions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from pytest_dynperf.report.json_file import decode_session
from tests.fakes.judged_sessions import a_night, every_way, judged, named, written
from tests.fakes.session_reports import ITL, a_measurement

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def night(tmp_path: Path) -> Path:
    root = tmp_path / "baselines"
    return written(tmp_path / "reports", a_night(root, *every_way(root)))


@pytest.fixture
def green(tmp_path: Path) -> Path:
    root = tmp_path / "baselines"
    results = [result for result in every_way(root) if result.case.case_id in ("unchanged", "improved", "suspect")]
    return written(tmp_path / "reports", a_night(root, *results))


def tampered(directory: Path, case_id: str = "regressed") -> None:
    file = directory / "session.json"
    document: Any = json.loads(file.read_text())
    (case,) = (case for case in document["cases"] if case["case_id"] == case_id)
    case["verdict"]["outcome"] = "unchanged"
    file.write_text(json.dumps(document))


def test_it_prints_the_summary_and_fails_as_the_night_did(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(night)]) == exit_code.INVALID
    said = capsys.readouterr().out
    assert "2 regressed" in said
    assert "not judged again: concurrency_sweep/failed" in said
    assert "differs from what was recorded" not in said


def test_what_a_file_says_does_not_steer_the_terminal(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = night / "session.json"
    tampered(night)
    file.write_text(file.read_text().replace('"case_id": "regressed"', '"case_id": "\\u001b[31mregressed"'))
    main(["judge", "--check", str(night)])
    said = capsys.readouterr().out
    assert "differs from what was recorded" in said
    assert "regressed: outcome recorded" in said
    assert "\x1b" not in said


def test_a_green_night_is_green_again(green: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(green / "session.json")]) == 0
    assert "1 improved" in capsys.readouterr().out


def test_check_says_whether_the_answer_is_the_recorded_one(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "--check", str(night)]) == 0, "regressed then and now"
    assert "checked: 1 session, no verdict differs from what was recorded" in capsys.readouterr().out
    tampered(night)
    assert main(["judge", "--check", str(night)]) == exit_code.INVALID
    said = capsys.readouterr().out
    assert f"differs from what was recorded in {night / 'session.json'}:\n  concurrency_sweep/regressed: outcome" in said
    assert "concurrency_sweep/regressed: outcome recorded unchanged, now regressed" in said
    assert "checked: verdicts of 1 of 1 session differ from what was recorded" in said


def test_another_tolerance(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["judge", str(night), "--tolerance", "inter_token_latency=50%", "--tolerance", "output_token_throughput.v1/value=0.5"])
    said = capsys.readouterr().out
    assert "concurrency_sweep/regressed: outcome recorded regressed, now" in said
    assert "limit recorded" not in said, "limits are others because others were asked for"


def test_a_stricter_case_without_baseline(tmp_path: Path) -> None:
    root = tmp_path / "baselines"
    directory = written(tmp_path, a_night(root, judged(named("new"), root, a_measurement(4))))
    assert main(["judge", str(directory)]) == 0
    assert main(["judge", str(directory), "--strict"]) == exit_code.INVALID


def test_an_open_suspect_fails_where_that_is_asked_for(green: Path, tmp_path: Path) -> None:
    """The case 'suspect' is 20 % slower, and nothing was measured to decide it."""
    assert main(["judge", str(green), "--strict"]) == 0
    assert main(["judge", str(green), "--fail-on-suspect"]) == exit_code.INVALID
    within = (f"--tolerance={metric}=40%" for metric in ("inter_token_latency", "output_token_throughput", "time_to_first_token"))
    assert main(["judge", str(green), "--fail-on-suspect", *within]) == 0


def test_json_holds_verdicts_and_differences(night: Path, tmp_path: Path) -> None:
    tampered(night)
    main(["judge", str(night), "--json", str(tmp_path / "again.json")])
    (session,) = json.loads((tmp_path / "again.json").read_text())["sessions"]
    assert session["differences"] == [
        {
            "case": "concurrency_sweep/regressed",
            "id": None,
            "statistic": None,
            "what": "outcome",
            "recorded": "unchanged",
            "now": "regressed",
        }
    ]
    assert decode_session(session["session"]).results[4].verdict.outcome.text == "regressed"


def test_a_new_report_stands_beside_the_session(night: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main(["judge", str(night), "--gate", "inter_token_latency/p50=4%", "--out", str(out)])
    report = decode_session(json.loads((out / "session.json").read_text()))
    assert {len(result.verdict.cells) for result in report.results if result.measurement and result.measurement.runs} == {1, 4}
    assert (out / report.results[0].records[0]).resolve() == (night / "records/concurrency_sweep/unchanged/run-1.jsonl.gz").resolve()
    assert [gate.cell for gate in report.results[0].case.expectation.gates] == [ITL]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert main(["judge", str(night), "--out", str(out)]) == exit_code.USAGE


def test_a_session_is_never_its_own_output(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (night / "session.json").read_bytes()
    assert main(["judge", str(night), "--out", str(night)]) == exit_code.USAGE
    assert "a session is never changed" in capsys.readouterr().err
    assert (night / "session.json").read_bytes() == before


def test_many_sessions_at_once(night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = decode_session(json.loads((night / "session.json").read_text()))
    second = written(night.parent, replace(report, stamp="20261121T040501Z"))
    (night.parent / "latest").symlink_to(second.name)
    main(["judge", str(night.parent), str(night), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.endswith("session.json:")] == [f"{one / 'session.json'}:" for one in (night, second)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [night.name, second.name]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"schema": 2, "session_id": "x", "cases": [', "is not JSON, or was cut off"),
        ("[]", "is JSON, but not a session"),
        ('{"case_id": "x", "schema": 2}', "is JSON, but not a session"),
        ('{"schema": 9, "session_id": "x", "cases": []}', "schema 9 is not known here"),
        ('{"schema": 2, "session_id": "x", "cases": []}', "key 'definitions' is missing"),
        ("[" * 100_000, "session.json: is "),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_what_is_no_session_is_refused_by_file(content: str | bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "session.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["judge", str(file)]) == exit_code.USAGE
    told = capsys.readouterr().err
    assert str(file) in told
    assert said in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tolerance", "inter_token_latency=three"], "'three' is no tolerance"),
        (["--tolerance", "inter_token_latency=nan"], "'nan' is no tolerance"),
        (["--tolerance", "inter_token_latency=-1%"], "'-1%' is no tolerance"),
        (["--tolerance", "inter_token_latency=0%"], "'0%' is no tolerance: expected per cent above 0"),
        (["--tolerance", "inter_token_latency"], "expected METRIC[/STATISTIC]=SIZE"),
        (
            ["--tolerance", "inter_token_latenzy/p50=3%"],
            "--tolerance 'inter_token_latenzy/p50=3%' means no gate of these sessions (did you mean 'inter_token_latency/p50'?)",
        ),
        (["--gate", "acceptance_of_nothing=3%"], "--gate 'acceptance_of_nothing=3%' means no measured cell of these sessions"),
        (["--gate", "time_to_first_token=3%"], "say which statistic: time_to_first_token.v1/p50, time_to_first_token.v1/p90"),
        (["--gate", "inter_token_latency/p50=3%", "--tolerance", "inter_token_latency=3%"], "cannot be given together"),
        (["--baselines", "/nowhere/at/all"], "no such directory of baselines"),
    ],
)
def test_what_cannot_be_meant_is_explained(options: list[str], said: str, night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(night), *options]) == exit_code.USAGE
    assert said in capsys.readouterr().err


def test_a_path_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(tmp_path / "reports" / "latest")]) == exit_code.USAGE
    assert "there is no such file or directory" in capsys.readouterr().err


def changed(night: Path, what: str) -> str:
    document: Any = json.loads((night / "session.json").read_text())
    (case,) = (case for case in document["cases"] if case["case_id"] == "unchanged")
    gate = case["expectation"]["gates"][1]
    if what == "case":
        document["cases"].append(dict(case))
    elif what == "gate":
        case["expectation"]["gates"].append(gate)
    elif what == "metric":
        case["metrics"].append(dict(case["metrics"][0]))
    elif what == "bound":
        case["expectation"]["max_error_share"] = math.inf
    else:
        gate["tolerance"] = float(what)
    return json.dumps(document)


@pytest.mark.parametrize("command", ["judge", "compare"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("0", "case 'unchanged': key 'tolerance' of the gate on inter_token_latency p50: found 0.0, allowed is a fraction above 0"),
        ("-0.03", "case 'unchanged': key 'tolerance' of the gate on inter_token_latency p50: found -0.03, allowed is a fraction above 0"),
        ("nan", "case 'unchanged', key 'cases[0].expectation.gates[1].tolerance': nan is not a finite number"),
        ("inf", "case 'unchanged', key 'cases[0].expectation.gates[1].tolerance': inf is not a finite number"),
        ("bound", "case 'unchanged', key 'cases[0].expectation.max_error_share': inf is not a finite number"),
        ("case", "key 'cases': the case concurrency_sweep/unchanged stands there twice"),
        ("gate", "case 'unchanged': key 'gates': inter_token_latency p50 stands there twice"),
        ("metric", "case 'unchanged': key 'metrics': output_token_throughput stands there twice"),
    ],
)
def test_a_session_that_says_what_cannot_be_is_refused(
    command: str, what: str, said: str, night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = night.parent.parent / "changed.json"
    file.write_text(changed(night, what))
    assert main([command, *([str(night)] if command == "compare" else []), str(file)]) == exit_code.USAGE
    told = capsys.readouterr().err
    assert f"{file}: {said}" in told
    assert "Traceback" not in told
