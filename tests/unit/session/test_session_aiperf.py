"""AIPerf as the load generator: real where there is one, a script that writes a genuine run elsewhere."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.session.aiperf import START_S, AiperfDriver, find_aiperf, longest_s, measured_by_aiperf
from pytest_dynperf.session.imported import EXPECTATION
from tests.fakes.foreign_aiperf import aiperf_executable
from tests.fakes.model_directory import make_model_directory
from tests.fakes.sse_server import Behaviour, sse_server
from tests.unit.load.test_load_aiperf_command import FLAGS

if TYPE_CHECKING:
    from pytest_dynperf.measurement.foreign import ForeignRun
    from pytest_dynperf.measurement.measurement import Run

SAMPLE = Path(__file__).parents[2] / "data" / "aiperf" / "c8" / "profile_export_aiperf.json"
ENDPOINT = Endpoint(base_url="http://127.0.0.1:1", model="gt-model", api_key_variable="MY_KEY", headers=(("X-T", "v"),))
TRAFFIC = Traffic(isl=200, osl=32, concurrency=8, requests=64)
SCRIPT = f"""#!{sys.executable}
import json, os, shutil, stat, sys
from pathlib import Path
arguments = sys.argv[1:]
home = Path(arguments[arguments.index("--output-artifact-dir") + 1])
hidden = Path(arguments[arguments.index("--config") + 1])
seen = {{"mode": stat.S_IMODE(hidden.stat().st_mode), "text": hidden.read_text(), "key": os.environ["MY_KEY"], "arguments": arguments}}
seen["key_length"] = len(os.environ["MY_KEY"])
Path(home, "seen.json").write_text(json.dumps(seen))
shutil.copy({str(SAMPLE)!r}, home)
"""


@pytest.fixture
def driver(tmp_path: Path) -> AiperfDriver:
    executable = tmp_path / "aiperf"
    executable.write_text(SCRIPT)
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    return AiperfDriver(executable=executable, version="0.13.0", flags=FLAGS)


def measure(driver: AiperfDriver, directory: Path, endpoint: Endpoint = ENDPOINT, traffic: Traffic = TRAFFIC) -> tuple[Run, ForeignRun]:
    return measured_by_aiperf(
        driver,
        endpoint,
        traffic,
        name="run-1",
        seed=7,
        directory=directory,
        expectation=EXPECTATION,
        deadline_s=120.0,
        progress=lambda _written, _elapsed_s: None,
    )


def test_a_run_of_aiperf_is_one_of_ours(driver: AiperfDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    run, foreign = measure(driver, tmp_path / "out")
    assert (run.name, run.problems) == ("run-1", ())
    assert run.values[Cell("output_token_throughput.v1", "value")] == 674.2732432107617
    assert foreign.generator == "AIPerf 0.13.0"
    seen = json.loads((tmp_path / "out" / "seen.json").read_text())
    assert (seen["mode"], seen["key_length"], seen["key"]) == (0o600, len("sk-secret"), "[redacted]"), "AIPerf had it, its files do not"
    assert "sk-secret" not in " ".join(seen["arguments"]) + seen["text"]
    assert not list((tmp_path / "out").glob(".aiperf-configuration*"))


def test_the_bounds_are_those_of_the_traffic_that_was_asked(driver: AiperfDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "x")
    run, _ = measure(driver, tmp_path / "out", traffic=replace(TRAFFIC, concurrency=16))
    assert "7.696 requests were in flight on average, needed are 12.8" in run.problems[0]


def test_an_old_run_is_not_taken_for_a_new_one(driver: AiperfDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "profile_export.jsonl").touch()
    with pytest.raises(UsageError, match="already holds a run of AIPerf"):
        measure(driver, tmp_path / "out")


def test_a_key_that_is_not_set_is_found_before_anything_starts(driver: AiperfDriver, tmp_path: Path) -> None:
    assert "MY_KEY" not in os.environ
    with pytest.raises(UsageError, match="the environment variable MY_KEY is not set"):
        measure(driver, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_but_the_time_of_every_request_ends_a_run_early() -> None:
    assert longest_s(Traffic(isl=9, osl=8, concurrency=4, requests=9, warmup_requests=4, request_timeout_s=10.0)) == START_S + 4 * 10
    open_loop = Traffic(isl=9, osl=8, arrival=Arrival(process="poisson", rate_per_s=2.0), requests=30, warmup_requests=0)
    assert longest_s(open_loop) == START_S + 15 + 120


def test_a_tokenizer_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no tokenizer\.json"):
        find_aiperf(tmp_path / "aiperf", tokenizer=tmp_path)


def test_the_real_one_measures_a_server_of_known_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_aiperf(aiperf_executable(), tokenizer=make_model_directory(tmp_path / "model"))
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with sse_server(Behaviour(ttft_s=0.05, itl_s=0.01)) as server:
        run, foreign = measure(
            real, tmp_path / "out", replace(ENDPOINT, base_url=server.url, model="fake"), Traffic(isl=64, osl=8, concurrency=2)
        )
        seen = server.requests[-1]
    assert run.problems == ()
    assert (run.requests, run.errors, len(foreign.records)) == (30, 0, 32)
    assert run.values[Cell("time_to_first_token.v1", "p50")] >= 0.05
    assert run.values[Cell("output_sequence_length.v1", "mean")] == 8.0
    assert (seen.headers["authorization"], seen.headers["x-t"]) == ("Bearer sk-secret", "v")
    assert (seen.body["ignore_eos"], seen.body["max_tokens"], seen.body["min_tokens"]) == (True, 8, 8)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"sk-secret" in path.read_bytes()]
    assert written == []


def test_the_real_one_keeps_an_open_loop_open_where_a_key_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_aiperf(aiperf_executable(), tokenizer=make_model_directory(tmp_path / "model"))
    monkeypatch.setenv("MY_KEY", "sk-secret")
    open_loop = Traffic(isl=64, osl=2, arrival=Arrival(process="constant", rate_per_s=20.0), requests=30)
    with sse_server(Behaviour(ttft_s=1.0)) as server:
        measure(real, tmp_path / "out", replace(ENDPOINT, base_url=server.url, model="fake"), open_loop)
        assert server.max_in_flight > 3, "20 requests/s of 1 s each"


def test_the_real_one_says_why_nothing_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_aiperf(aiperf_executable(), tokenizer=make_model_directory(tmp_path / "model"))
    with sse_server(Behaviour(status=503, body=b"busy")) as server:
        endpoint = Endpoint(base_url=server.url, model="fake")
        with pytest.raises(WorkloadError, match=r"(?s)exit status 1.*All 30 inference request"):
            measure(real, tmp_path / "out", endpoint, Traffic(isl=64, osl=8, concurrency=2))
