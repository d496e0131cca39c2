"""From a measurement to the exit code, through whole pytest runs against a server whose speed the test sets."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.002, itl_s=0.001)
SLOW = Behaviour(ttft_s=0.006, itl_s=0.006)


def test_without_a_baseline_a_case_passes_and_is_never_called_a_pass(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        run = bench.run(url=server.url)
    assert run.code == 0, run.text
    assert run.outcomes() == {"agg-isl64-osl8-c1": "no baseline", "agg-isl64-osl8-c2": "no baseline"}
    assert "no baseline" in run.text
    assert bench.baseline_files() == []
    assert len(list((bench.root / "reports/latest/proposals").rglob("*.json"))) == 2


def test_strict_fails_what_has_no_baseline(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        run = bench.run("--dynperf-strict", url=server.url)
    assert run.code == 1, run.text
    assert "2 failed" in run.text


def test_an_accepted_measurement_finds_the_regression_and_not_the_repetition(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        accepted = bench.run("--update-baselines", url=server.url)
        assert accepted.code == 0, accepted.text
        assert len(bench.baseline_files()) == 2
        again = bench.run(url=server.url)
    assert again.code == 0, again.text
    assert "regressed" not in again.outcomes().values()

    with sse_server(SLOW) as server:
        slow = bench.run(url=server.url)
    assert slow.code == 1, slow.text
    assert set(slow.outcomes().values()) == {"regressed"}
    assert "ITL p50: " in slow.text
    assert "--accept-regression" in slow.text
    assert len(bench.baseline_files()) == 2, "a regression is never accepted by itself"
    confirmed = slow.session["cases"][0]
    assert confirmed["confirmation"] is not None, "a regression is confirmed by a fresh session"


def test_a_regression_is_accepted_only_with_a_reason_and_starts_an_epoch(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        bench.run("--update-baselines", url=server.url)
    with sse_server(SLOW) as server:
        refused = bench.run("--update-baselines", "-k", "c1", url=server.url)
        assert refused.code == 1
        assert len(bench.baseline_files()) == 2
        accepted = bench.run("--update-baselines", "--accept-regression", "slower by design", "-k", "c1", url=server.url)
        assert accepted.code == 1, "accepting does not turn red into green"
        newest = json.loads(max(bench.baseline_files(), key=lambda path: path.name).read_text())
        assert (newest["epoch"], newest["reason"]) == (1, "slower by design")
        after = bench.run("-k", "c1", url=server.url)
    assert after.code == 0, after.text


def test_a_dry_run_names_files_and_writes_none(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        run = bench.run("--update-baselines=dry-run", url=server.url)
    assert run.code == 0, run.text
    assert bench.baseline_files() == []
    assert len(run.session["accepted"]) == 2
    assert "\nbaseline: " not in run.text, "nothing was written"
    page = next((bench.root / "reports" / "latest").glob("report.html")).read_text()
    assert "written: <code>" not in page


def test_an_update_of_a_subset_deletes_nothing(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        bench.run("--update-baselines", url=server.url)
        before = bench.baseline_files()
        run = bench.run("--update-baselines", "-k", "c2", url=server.url)
    assert run.code == 0, run.text
    assert set(before) < set(bench.baseline_files())


def test_an_endpoint_that_nobody_named_never_becomes_a_baseline(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        run = bench.run(f"--dynperf-endpoint={server.url}", "--dynperf-model=fake", "--update-baselines")
    assert run.code == 0, run.text
    assert bench.baseline_files() == []
    assert "--dynperf-environment" in run.text


@pytest.mark.parametrize("damage", ["{", "<<<<<<< ours\n", '{"schema": 99}'])
def test_a_damaged_baseline_is_invalid_and_not_absent(bench: Bench, damage: str) -> None:
    with sse_server(QUICK) as server:
        bench.run("--update-baselines", "-k", "c1", url=server.url)
        (path,) = bench.baseline_files()
        path.write_text(damage)
        run = bench.run("-k", "c1", url=server.url)
    assert run.code == 1, run.text
    assert run.outcomes() == {"agg-isl64-osl8-c1": "invalid"}
    assert path.name in run.text.replace("\n", "").replace(" ", ""), run.text
    assert path.read_text() == damage


def test_every_request_failed_is_invalid_and_has_no_number(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        bench.run("--update-baselines", "-k", "c1", url=server.url)
        before = {path: path.read_text() for path in bench.baseline_files()}
    with sse_server(Behaviour(), Behaviour(status=503)) as server:
        run = bench.run("--update-baselines", "-k", "c1", "--dynperf-tokenizer", str(_tokenizer(bench)), url=server.url)
    assert run.code == 1, run.text
    (case,) = run.session["cases"]
    assert case["verdict"]["outcome"] == "invalid"
    assert all(metric["values"] is None for metric in case["metrics"])
    assert {path: path.read_text() for path in bench.baseline_files()} == before


def _tokenizer(bench: Bench) -> object:
    from pytest_dynperf.deployment.model_directory import make_model

    return make_model(bench.root / "model")


@pytest.mark.parametrize(
    ("server_arguments", "words"),
    [
        ({"model": "another"}, ["fake", "another"]),
        ({"models_body": b"<html>hello</html>", "models_content_type": "text/html"}, ["html"]),
    ],
)
def test_what_is_not_the_server_is_named(bench: Bench, server_arguments: dict[str, Any], words: list[str]) -> None:
    with sse_server(**server_arguments) as server:
        run = bench.run(url=server.url)
    assert run.code == 1
    assert all(word in run.text.lower() for word in words), run.text
    assert "Traceback" not in run.text
    assert set(run.outcomes().values()) == {"invalid"}


def test_an_endpoint_that_refuses_is_named(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        url = server.url
    run = bench.run(url=url)
    assert run.code == 1
    assert "refuse" in run.text
    assert "Traceback" not in run.text


def test_a_test_that_measures_and_never_judges_fails(bench: Bench) -> None:
    bench.write("test_fake.py", "def test_fake(perf):\n    perf.measure()\n")
    with sse_server(QUICK) as server:
        run = bench.run(url=server.url)
    assert run.code == 1
    assert "never judged" in run.text
    assert set(run.outcomes().values()) == {"invalid"}


def test_a_test_that_never_measures_fails(bench: Bench) -> None:
    bench.write("test_fake.py", "def test_fake(perf):\n    pass\n")
    run = bench.run()
    assert run.code == 1
    assert "never measured" in run.text


def test_a_rerun_plugin_does_not_turn_red_into_green(bench: Bench) -> None:
    broken = replace(QUICK, stop_after=1)
    with sse_server(*[QUICK] * 3, *[broken] * 42, QUICK) as server:
        run = bench.run("-k", "c1", "-p", "pytest_rerunfailures", "--reruns=1", url=server.url)
    assert "1 rerun" in run.text, run.text
    assert "1 passed" in run.text, "the second attempt measured a healthy server"
    assert run.outcomes() == {"agg-isl64-osl8-c1": "invalid"}
    assert run.code == 1


def test_records_say_what_was_seen_of_each_request(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        run = bench.run("-k", "c2", url=server.url)
        seen = {request.headers.get("x-request-id") for request in server.requests}
    (case,) = run.session["cases"]
    files = [gzip.decompress((bench.root / "reports/latest" / name).read_bytes()) for name in case["records"]]
    records = [json.loads(line) for file in files for line in file.splitlines()]
    assert len(records) >= 90
    for record in records:
        if record["error"] is None:
            assert record["request_id"] in seen
            assert record["scheduled_ns"] <= record["sent_ns"] <= record["first_byte_ns"] <= record["chunk_ns"][0]
            assert len(record["chunk_ns"]) == record["usage"]["completion_tokens"] == record["osl_requested"]
            assert record["osl_requested"] == 8 or not record["measured"], "the first wave is staggered, what is measured is not"
    assert len({record["request_id"] for record in records}) == len(records)
