"""What a person gets wrong before anything is measured: each a clear text, no traceback, nothing started."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

HERE = "--dynperf-endpoint=http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu=h1000"], ["h1000", "did you mean", "h100"]),
        (["--gpu=h100"], ["needs", "H100", "found"]),
        ([HERE], ["--dynperf-model"]),
        (["--dynperf-model=x"], ["--dynperf-endpoint"]),
        (["--dynperf-endpoint=localhost:8000", "--dynperf-model=x"], ["http://"]),
        (["--dynperf-seed=x"], ["--dynperf-seed", "whole number"]),
        (["--dynperf-header=nonsense"], ["NAME: VALUE"]),
        (["--accept-regression=why"], ["--update-baselines"]),
        (["--dynperf-api-key-env=NOT_SET_ANYWHERE"], ["NOT_SET_ANYWHERE", "not set"]),
        (["--dynperf-budget=x"], ["--dynperf-budget", "minutes"]),
        (["--dynperf-control=x"], ["--dynperf-control", "baseline"]),
        (["--dynperf-baselines=fake_suite/scenario.toml"], ["--dynperf-baselines", "scenario.toml", "not a directory"]),
        (["--dynperf-detect=3%"], ["--dynperf-detect", "--dynperf-plan"]),
        (["--dynperf-environment=my-box"], ["--dynperf-environment=my-box", "add --dynperf-endpoint=URL"]),
        (["--dynperf-control-layout=blocks"], ["--dynperf-control-layout=blocks", "add --dynperf-control=baseline"]),
    ],
)
def test_a_bad_option_is_named(bench: Bench, arguments: list[str], words: list[str]) -> None:
    run = bench.run(*arguments)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.text
    assert all(word in run.text for word in words), run.text
    assert "pytest_dynperf/plugin" not in run.text, "a stack of the plugin's own hooks"
    assert "INTERNALERROR" not in run.text
    assert not (bench.root / "reports" / "latest").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("traffic.isll=3", ["traffic.isll", "traffic.isl"]),
        ("traffic.isl=many", ["traffic.isl", "many"]),
        ("nonsense", ["nonsense", "="]),
    ],
)
def test_a_bad_override_is_an_error_of_collection(bench: Bench, override: str, words: list[str]) -> None:
    run = bench.run(f"--dynperf-set={override}")
    assert run.code == pytest.ExitCode.INTERRUPTED, run.text
    assert all(word in run.text for word in words), run.text
    assert "pytest_dynperf/plugin" not in run.text, "a stack of the plugin's own hooks"
    assert not (bench.root / "reports" / "latest").exists()


@pytest.mark.parametrize(
    ("line", "replacement", "words"),
    [
        ("isl = 64", "ils = 64", ["scenario.toml", "ils", "isl"]),
        ("isl = 64", "isl = 'x'", ["scenario.toml", "traffic.isl"]),
        ('"traffic.concurrency" = [1, 2]', '"traffic.concurrency" = [1, 0]', ["scenario.toml", "traffic.concurrency", "0"]),
        ("inter_token_latency.v1", "inter_token_latncy.v1", ["scenario.toml", "inter_token_latncy", "inter_token_latency.v1"]),
        ("schema = 1", "schema = = 1", ["scenario.toml", "line"]),
    ],
)
def test_a_mistake_in_the_scenario_is_named(bench: Bench, line: str, replacement: str, words: list[str]) -> None:
    path = bench.suite / "scenario.toml"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, replacement, 1))
    run = bench.run()
    assert run.code == 2, run.text
    assert all(word in run.text for word in words), run.text
    assert "Traceback" not in run.text


def test_concurrencies_are_honoured_and_a_typo_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCURRENCIES", "3,1")
    assert "c1]" in (listed := bench.run("--collect-only", "-q").text)
    assert "c3]" in listed
    assert "c2]" not in listed
    monkeypatch.setenv("CONCURRENCIES", "1,two")
    run = bench.run("--collect-only", "-q")
    assert run.code == 2
    assert "CONCURRENCIES" in run.text
    assert "two" in run.text


def test_case_ids_are_parameter_ids_and_select(bench: Bench) -> None:
    run = bench.run("--collect-only", "-q", "-k", "c2")
    assert "test_fake.py::test_fake[agg-isl64-osl8-c2]" in run.text
    assert "c1]" not in run.text


def test_hardware_that_is_not_here_can_be_planned(bench: Bench) -> None:
    run = bench.run("--dynperf-plan", "--gpu=h100")
    assert run.code == 0, run.text
    assert "4 x H100" in run.text
    assert "not yet been run on this hardware" in run.text


def test_the_command_to_repeat_names_the_variable_of_an_axis(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCURRENCIES", "3")
    with sse_server(models_body=b"<html>", models_content_type="text/html") as server:
        run = bench.run(url=server.url)
    assert "repeat: CONCURRENCIES=3 pytest 'fake_suite/test_fake.py::test_fake[agg-isl64-osl8-c3]'" in run.text


@pytest.mark.parametrize("extra", [(), ("-n", "2")])
def test_a_plan_is_printed_and_nothing_starts(bench: Bench, extra: tuple[str, ...]) -> None:
    run = bench.run("--dynperf-plan", *extra)
    assert run.code == 0, run.text
    for words in ("platform   mocker", "fake_suite/agg-isl64-osl8-c1", "GPU-hours", "3 runs of 30 requests"):
        assert words in run.text
    assert not (bench.root / "reports").exists()


@pytest.mark.parametrize("extra", [(), ("-n", "2")])
def test_a_report_directory_that_cannot_be_written_is_found_before_measuring(bench: Bench, extra: tuple[str, ...]) -> None:
    (bench.root / "occupied").write_text("a file")
    with sse_server(Behaviour()) as server:
        run = bench.run("--dynperf-reports=occupied", *extra, url=server.url)
    assert run.code == 4, run.text
    assert "occupied" in run.text
    assert "--dynperf-reports" in run.text
    assert "Traceback" not in run.text


def test_two_sessions_at_once_on_one_host(bench: Bench) -> None:
    leases = bench.root / "tmp" / "leases"
    leases.mkdir(mode=0o700)
    holder = {"session_id": "another", "pid": os.getpid(), "started": "2026-01-01T00:00:00Z", "what": "pytest in /elsewhere"}
    with (leases / "host.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(holder))
        file.flush()
        with sse_server(Behaviour()) as server:
            run = bench.run(url=server.url)
    assert run.code == 4, run.text
    assert str(os.getpid()) in run.text
    assert "--dynperf-lease-wait" in run.text
    assert "Traceback" not in run.text
    assert run.session == {}


@pytest.mark.parametrize("extra", [(), ("-n", "2")])
def test_a_session_that_waits_says_for_whom(bench: Bench, extra: tuple[str, ...]) -> None:
    leases = bench.root / "tmp" / "leases"
    leases.mkdir(mode=0o700)
    holder = {"session_id": "another", "pid": os.getpid(), "started": "2026-01-01T00:00:00Z", "what": "pytest in /elsewhere"}
    with (leases / "host.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(holder))
        file.flush()
        with sse_server(Behaviour()) as server:
            run = bench.run("--dynperf-lease-wait=0.5", "-k", "c1", *extra, url=server.url)
    assert run.code == 1, run.text
    (line,) = (line for line in run.text.splitlines() if "waiting for it" in line)
    assert f"process {os.getpid()}" in line
    assert "up to 0.5 s" in line


def test_a_dirty_tree_is_refused_before_measuring(bench: Bench) -> None:
    bench.pytester.run("git", "init", "-q", ".")
    run = bench.run(HERE, "--dynperf-model=fake", "--update-baselines")
    assert run.code == 4, run.text
    assert "dirty" in run.text
    assert "scenario.toml" in run.text


def test_an_option_that_another_plugin_owns_is_left_to_it(bench: Bench) -> None:
    bench.pytester.makepyfile(owner="def pytest_addoption(parser):\n    parser.addoption('--gpu', dest='their_gpu', default='theirs')\n")
    bench.pytester.syspathinsert()
    run = bench.run("-p", "owner", "--collect-only", "-q", "--gpu=7", "--dynperf-gpu=mocker")
    assert run.code == 0, run.text
    helped = bench.run("-p", "owner", "--help")
    assert "--gpu belongs to another plugin here" in " ".join(helped.text.split())
