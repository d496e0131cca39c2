"""Secrets planted everywhere, a whole run, and every byte of every artifact searched for them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from pytest_dynperf.run_directory import redact_file
from pytest_dynperf.secret import known_secrets
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Bench, Outcome

KEY = "planted/Key+0815=="
HEADER = "planted-header-0816"
PASSWORD = "planted-p@ss word-0817"
UNKNOWN = "hf_plantedPlanted0818abcdef"
MODEL = "team/planted-model-0819"
SECRETS = {"api key": KEY, "header": HEADER, "password": PASSWORD, "shape": UNKNOWN, "model": "planted-model-0819"}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("DATABASE_PASSWORD", PASSWORD)
    monkeypatch.setenv("MODEL_TOKEN", "planted-model-0819")


def forms(secret: str) -> list[bytes]:
    coded = base64.b64encode(f"user:{secret}".encode()).decode().rstrip("=")[8:-2]
    return [text.encode() for text in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], coded)]


def leaks(places: list[Path], text: str = "") -> list[str]:
    """Which secret is where, in files, in what is packed in them, in their names, and in a text."""
    found = []
    for path in [file for place in places for file in place.rglob("*") if file.is_file()]:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content += gzip.decompress(content)
        content += str(path).encode()
        found += [f"{name} in {path}" for name, secret in SECRETS.items() if any(form in content for form in forms(secret))]
    return found + [f"{name} in the terminal" for name, secret in SECRETS.items() if any(form.decode() in text for form in forms(secret))]


def error_body() -> bytes:
    basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    said = f"denied for Authorization: Bearer {KEY}, cookie {HEADER}, basic {basic}, {UNKNOWN}, {quote(PASSWORD)} of {MODEL}"
    return json.dumps({"error": {"message": said, "padding": "x" * 1850 + KEY}}).encode()


def run(bench: Bench, url: str, *arguments: str) -> Outcome:
    return bench.run(
        f"--dynperf-endpoint={url}",
        f"--dynperf-model={MODEL}",
        "--dynperf-environment=test",
        "--dynperf-api-key-env=MY_KEY",
        f"--dynperf-header=X-Api-Key: {HEADER}",
        "--junitxml=reports/junit.xml",
        "-v",
        *arguments,
    )


@pytest.mark.parametrize("extra", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_no_secret_is_in_any_artifact_of_a_session_that_fails(bench: Bench, planted: None, extra: tuple[str, ...]) -> None:
    working = [Behaviour()] * 8  # what attaching asks for
    with sse_server(*working, Behaviour(status=401, body=error_body()), model=MODEL) as server:
        done = run(bench, server.url, *extra)
        assert any(KEY in request.headers.get("authorization", "") for request in server.requests), "the key was sent"
        assert any(request.headers.get("x-api-key") == HEADER for request in server.requests)
    assert done.code == 1, done.text
    assert set(done.outcomes().values()) == {"invalid"}, done.text
    reports = bench.root / "reports"
    assert {"session.json", "report.html", "junit.xml"} <= {path.name for path in reports.rglob("*") if path.is_file()}
    assert list(reports.rglob("*.jsonl*")), "records were written"
    assert leaks([reports], done.text) == []
    assert "[redacted]" in json.dumps(done.session)
    assert "[redacted]" in done.text


def test_no_secret_is_in_baselines_and_the_next_session_is_compared_with_them(bench: Bench, planted: None) -> None:
    with sse_server(Behaviour(ttft_s=0.001, itl_s=0.001), model=MODEL) as server:
        first = run(bench, server.url, "--update-baselines")
        assert first.code == 0, first.text
        second = run(bench, server.url)
    assert bench.baseline_files()
    assert leaks([bench.root / "reports", bench.root / "baselines"], first.text + second.text) == []
    assert not {"no baseline", "incomparable", "invalid"} & set(second.outcomes().values()), second.text


def test_a_secret_that_is_left_would_be_found(bench: Bench, tmp_path: Path) -> None:
    place = bench.root / "somewhere"
    place.mkdir()
    (place / "a.log").write_text(f"x {KEY}")
    (place / "b.jsonl.gz").write_bytes(gzip.compress(f"x {quote(PASSWORD, safe='')}".encode()))
    (place / "c.json").write_text(base64.b64encode(f"user:{HEADER}".encode()).decode())
    assert len(leaks([place], f"said {UNKNOWN}")) == 4
    secrets = known_secrets({"A_TOKEN": KEY, "B_PASSWORD": PASSWORD, "C_SECRET": HEADER})
    assert all(redact_file(path, secrets) for path in place.iterdir())
    assert leaks([place]) == []
