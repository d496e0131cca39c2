"""Results without secrets: nothing of them is left, and they are still results."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.json_file import decode_session, encode_session
from pytest_dynperf.report.terminal import failure_text, summary
from pytest_dynperf.secret import REDACTED
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.session.redaction import redact_logs, session_secrets, without_secrets
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_reports import of_everything
from tests.fakes.session_reports import a_report, a_result, every_outcome

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport

PLAIN = "planted-secret-0815"
SETTINGS = Settings(
    session_id="3f2a9c",
    stamp="20261121T030501Z",
    seed=7,
    command="pytest suites --dynperf-header 'Authorization: Bearer from-the-command'",
    rootdir=Path(),
    baselines=Path("baselines"),
    run_directory=Path("reports/x"),
    cache_directory=Path("cache"),
    api_key_variable="MY_KEY",
    headers=(("X-Api-Key", "from-a-header"),),
)


def test_secrets_come_from_environment_options_headers_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "from-the-option")
    monkeypatch.setenv("ANY_TOKEN", "from-a-name")
    monkeypatch.setenv("ANY_VALUE", "from-nowhere")
    texts = ("from-the-option", "from-a-name", "from-a-header", "from-the-command", "from-nowhere")
    assert without_secrets(texts, SETTINGS) == (*[REDACTED] * 4, "from-nowhere")


def test_a_command_that_no_shell_would_take_is_searched_all_the_same() -> None:
    assert "not-closed-x1" in session_secrets(replace(SETTINGS, command="pytest --api-key not-closed-x1 'oops")).plain


def test_every_text_of_a_result_is_redacted_in_every_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", PLAIN)
    result = a_result(4, Outcome.REGRESSED, factor=1.119)
    assert result.environment is not None
    case = replace(result.case, overrides=(f"topology.worker.args=--api-key {PLAIN}",), topology=replace(result.case.topology, model=PLAIN))
    result = replace(
        result,
        case=case,
        environment=replace(result.environment, provenance={"worker.args": f"--token={PLAIN}"}, key={"model": f"a/{PLAIN}"}),
        verdict=replace(result.verdict, reasons=(f"the server said {PLAIN}",)),
        reproduce=f"pytest --dynperf-model={PLAIN}",
        baseline_provenance={"worker.args": PLAIN},
    )
    report = without_secrets(a_report(result, interrupted=f"by {PLAIN}"), SETTINGS)
    lines = [line.text for line in summary(report, width=100, verbose=True)]
    for text in (json.dumps(encode_session(report)), render(report), failure_text(report.results[0], run_directory="x"), *lines):
        assert PLAIN not in text
    assert REDACTED in render(report)


@pytest.mark.parametrize("report", [every_outcome(), of_everything()], ids=["every outcome", "everything"])
def test_whatever_is_secret_the_file_can_be_read_again(monkeypatch: pytest.MonkeyPatch, report: SessionReport) -> None:
    """Every word of the file in turn is a secret: what a reader needs to find its way is kept."""
    encoded = encode_session(report)
    names = [result.case.name for result in report.results]
    for word in sorted(words_of(encoded)):
        monkeypatch.setenv("MY_KEY", word)
        found = decode_session(json.loads(json.dumps(encode_session(without_secrets(report, SETTINGS)))))
        assert [result.case.name for result in found.results] == names, word
        assert [result.verdict.outcome for result in found.results] == [result.verdict.outcome for result in report.results], word


def test_logs_of_a_stopped_deployment_lose_their_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_KEY", PLAIN)
    (tmp_path / "worker.log").write_text(f"serving with --api-key {PLAIN}\n")
    (tmp_path / "worker.log.gz").write_bytes(gzip.compress(PLAIN.encode())[:-4])
    (tmp_path / "notes.txt").write_text(PLAIN)
    [trouble] = redact_logs(tmp_path, SETTINGS)
    assert "worker.log.gz" in trouble
    assert (tmp_path / "worker.log").read_text() == f"serving with --api-key {REDACTED}\n"
    assert (tmp_path / "notes.txt").read_text() == PLAIN
    assert redact_logs(tmp_path / "nowhere", SETTINGS) == ()


def words_of(value: object) -> set[str]:
    if isinstance(value, str):
        return {value} if " " not in value else set(value.split())
    if isinstance(value, dict):
        return set().union(*map(words_of, value.values()))
    return set().union(*map(words_of, value)) if isinstance(value, list) else set()
