"""`dynperf load --driver aiperf`: a script that leaves a genuine run stands in for AIPerf, and the real one runs where there is one."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.load_interruption import Interruption
from pytest_dynperf.command.main import main
from pytest_dynperf.observation.record_file import read_records
from tests.fakes.foreign_aiperf import aiperf_executable
from tests.fakes.model_directory import make_model_directory
from tests.fakes.sse_server import Behaviour, SseServer, sse_server
from tests.unit.load.test_load_aiperf_command import FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Dynperf = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "tests" / "data" / "aiperf" / "c8"
ASKED = ("--concurrency=8", "--isl=200", "--osl=32", "--requests=64")
SCRIPT = f"""#!{sys.executable}
import json, shutil, sys, time
from pathlib import Path
arguments = sys.argv[1:]
if arguments == ["--version"]:
    sys.exit(print("0.13.0"))
if arguments == ["profile", "--help"]:
    sys.exit(print({" ".join(sorted(FLAGS))!r}))
home = Path(arguments[arguments.index("--output-artifact-dir") + 1])
(home / "seen.json").write_text(json.dumps(arguments))
{{body}}
shutil.copytree({str(SAMPLE)!r}, home, dirs_exist_ok=True)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files go that nobody asked to keep."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.fixture
def server() -> Iterator[SseServer]:
    with sse_server(Behaviour()) as running:
        yield running


@pytest.fixture
def aiperf(tmp_path: Path) -> Callable[[str], Path]:
    def make(body: str = "") -> Path:
        path = tmp_path / "aiperf"
        path.write_text(SCRIPT.format(body=body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


@pytest.fixture
def dynperf(capsys: pytest.CaptureFixture[str], server: SseServer, aiperf: Callable[[str], Path]) -> Dynperf:
    def run(*argv: str, body: str = "") -> tuple[int, str, str]:
        code = main(["load", server.url, "--driver=aiperf", f"--aiperf-executable={aiperf(body)}", *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def value(document: dict[str, object], metric: str, statistic: str) -> float | None:
    metrics = document["metrics"]
    assert isinstance(metrics, list)
    found: float | None = next(one["mean"] for one in metrics if (one["id"], one["statistic"]) == (metric, statistic))
    return found


def written(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


def test_the_table_and_the_json_say_who_measured_and_claim_no_lags(dynperf: Dynperf, server: SseServer, tmp_path: Path) -> None:
    code, out, err = dynperf(*ASKED, "--json", str(tmp_path / "l.json"))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{server.url}: model fake, chat completions"
    assert "load generator: AIPerf 0.13.0; its lags are not known" in lines
    assert "  made by          AIPerf 0.13.0; its lags are not known" in lines
    assert "  in flight        7.70 of 8 on average" in lines
    assert re.search(r"^throughput +674 tok/s$", out, re.MULTILINE), out
    assert lines[-1] == "valid"
    assert not re.search("send lag|receive lag|coalesced|CPU|clock step", out)
    document = written(tmp_path / "l.json")
    assert (document["generator"], document["processes"], document["valid"]) == ("AIPerf 0.13.0", None, True)
    assert value(document, "output_token_throughput.v1", "value") == pytest.approx(674.273, abs=1e-3)
    assert [request for request in server.requests if request.body.get("stream")] == [], "the script sends nothing, and we neither"


def test_files_of_aiperf_and_records_are_kept_where_they_are_asked_for(dynperf: Dynperf, tmp_path: Path, temporary: Path) -> None:
    keep = ("--aiperf", str(tmp_path / "a"), "--records", str(tmp_path / "r.jsonl"))
    assert dynperf(*ASKED, *keep, "--runs=2", "--seed=5")[0] == 0
    seeds = []
    for home, name, file in (("run-1", "run-1", "r.jsonl"), ("run-2", "run-2", "r.run-2.jsonl")):
        assert (tmp_path / "a" / home / "profile_export.jsonl").read_bytes() == (SAMPLE / "profile_export.jsonl").read_bytes()
        records = list(read_records(tmp_path / file))
        assert {record.run for record in records} == {name}
        assert sum(record.measured for record in records) == 64
        arguments = json.loads((tmp_path / "a" / home / "seen.json").read_text())
        seeds.append(int(arguments[arguments.index("--random-seed") + 1]))
    assert len(set(seeds)) == 2, "no run finds the prompts of another one in a cache"
    assert max(seeds) < 2**31
    assert list(temporary.iterdir()) == []


def test_files_that_nobody_asked_for_are_removed(dynperf: Dynperf, temporary: Path) -> None:
    assert dynperf(*ASKED)[0] == 0
    assert list(temporary.iterdir()) == []


def test_another_tool_may_let_its_load_drain_unless_a_bound_is_given(dynperf: Dynperf) -> None:
    drained = ("--concurrency=9", "--isl=200", "--osl=32", "--requests=64")  # 7.7 of 9: 86 %
    assert dynperf(*drained)[0] == 0
    code, out, _ = dynperf(*drained, "--min-in-flight-share=0.95")
    assert code == exit_code.INVALID
    assert "INVALID: 7.696 requests were in flight on average, needed are 8.55" in out
    assert re.search(r"^throughput +674 tok/s$", out, re.MULTILINE), "an invalid run is shown, with the reason"


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        (("--rate=22", "--arrival=constant"), True),
        (("--rate=25", "--arrival=constant"), False),
        (("--rate=25", "--arrival=constant", "--min-rate-share=0.8"), True),
        (("--rate=25",), True),  # 64 Poisson gaps may be so much longer by chance
        (("--rate=40",), False),
        (("--rate=40", "--burstiness=0.1"), True),
        (("--rate=80", "--burstiness=0.1"), False),
    ],
)
def test_a_rate_that_was_not_offered_is_no_valid_run(options: tuple[str, ...], valid: bool, dynperf: Dynperf) -> None:
    """The sample has sends of 23.6 requests/s."""
    code, out, _ = dynperf("--isl=200", "--osl=32", "--requests=64", *options)
    assert code == (0 if valid else exit_code.INVALID), out
    assert ("AIPerf did not offer the load that was asked for" in " ".join(out.split())) != valid


def test_goodput_is_by_our_objectives(dynperf: Dynperf, tmp_path: Path) -> None:
    for objective, share in (("ttft=60s", 1.0), ("ttft=1ms", 0.0)):
        assert dynperf(*ASKED, "--goodput", objective, "--json", str(tmp_path / "l.json"))[0] == 0
        document = written(tmp_path / "l.json")
        requests = value(document, "request_throughput.v1", "value")
        assert requests is not None
        assert value(document, "goodput.v1", "value") == pytest.approx(share * requests, rel=1e-3)


def test_prompts_of_another_length_are_noted(dynperf: Dynperf) -> None:
    out = " ".join(dynperf(*ASKED)[1].split())
    assert "note: run-1: the server counts 115 tokens in a prompt on average, asked was ISL 200" in out
    assert "note: run-1" not in dynperf("--concurrency=8", "--isl=115", "--osl=32", "--requests=64")[1]


def test_a_run_that_fails_is_the_last_one_and_those_before_it_are_shown(dynperf: Dynperf, tmp_path: Path, temporary: Path) -> None:
    body = "home.name == 'run-2' and sys.exit('every request failed')"
    code, out, _ = dynperf(*ASKED, "--runs=3", "--json", str(tmp_path / "l.json"), body=body)
    assert code == exit_code.INVALID
    assert re.search(r"^throughput +674 tok/s$", out, re.MULTILINE), out
    text = " ".join(out.split())
    assert "INVALID: run-2: AIPerf ended with exit status 1. Its log (--aiperf DIR keeps it) ends: every request failed" in text
    document = written(tmp_path / "l.json")
    runs = document["runs"]
    assert isinstance(runs, list)
    assert (document["valid"], document["interrupted"], len(runs)) == (False, False, 1)
    assert list(temporary.iterdir()) == []


def test_the_log_of_a_failure_is_named_where_it_is_kept(dynperf: Dynperf, tmp_path: Path) -> None:
    code, out, _ = dynperf(*ASKED, "--aiperf", str(tmp_path / "a"), body="sys.exit('every request failed')")
    assert code == exit_code.INVALID
    assert str(tmp_path / "a" / "run-1" / "aiperf.log") in out.replace("\n  ", "")
    assert "ms)" not in out, "no number where nothing was measured"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--processes=2",), "--processes has no meaning with --driver aiperf"),
        (("--metrics-url", "a=http://h/metrics"), "--metrics-url has no meaning with --driver aiperf"),
        (("--inter-token-timeout=3",), "--inter-token-timeout has no meaning with --driver aiperf"),
        (("--max-send-lag=1",), "--max-send-lag has no meaning with --driver aiperf: its lags are not known"),
        (("--max-uncertain-share=0.5",), "--max-uncertain-share has no meaning with --driver aiperf"),
        (("--prefix-ratio=0.5",), "AIPerf is driven with synthetic prompts only"),
        (("--turns=2",), "AIPerf is driven with synthetic prompts only"),
        (("--ramp=2",), "set --ramp = 0"),
    ],
)
def test_what_aiperf_cannot_do_is_refused_before_anything_is_sent(
    options: tuple[str, ...], said: str, dynperf: Dynperf, server: SseServer
) -> None:
    code, out, err = dynperf(*ASKED, *options)
    assert (code, out, server.connections) == (exit_code.USAGE, "", 0)
    assert said in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sine", "1", "2", "10"), "AIPerf has no arrival process 'sinusoidal'"),
        (("--rate=5", "--max-in-flight=9"), "--max-in-flight has no meaning with --driver aiperf: AIPerf makes requests beyond it wait"),
    ],
)
def test_open_loops_that_aiperf_does_not_have(options: tuple[str, ...], said: str, dynperf: Dynperf, server: SseServer) -> None:
    code, _, err = dynperf("--isl=200", "--osl=32", *options)
    assert (code, server.connections) == (exit_code.USAGE, 0)
    assert said in err


def test_a_run_of_aiperf_is_never_added_to_another_one(dynperf: Dynperf, server: SseServer, tmp_path: Path) -> None:
    (tmp_path / "a" / "run-2").mkdir(parents=True)
    (tmp_path / "a" / "run-2" / "profile_export.jsonl").touch()
    code, _, err = dynperf(*ASKED, "--runs=2", "--aiperf", str(tmp_path / "a"))
    assert (code, server.connections) == (exit_code.USAGE, 0), "the second run is looked at before the first one"
    assert "run-2 already holds a run of AIPerf" in err


def test_driver_and_executable_belong_together(server: SseServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options, said in (
        (("--driver=aiperf",), "--driver aiperf needs --aiperf-executable PATH"),
        (("--aiperf-executable=x",), "--aiperf-executable has a meaning only with --driver aiperf"),
        (("--driver=aiperf", f"--aiperf-executable={tmp_path / 'no'}"), "no: No such file or directory"),
    ):
        assert main(["load", server.url, *ASKED, *options]) == exit_code.USAGE
        assert said in capsys.readouterr().err
    assert server.connections == 0


def test_a_tokenizer_of_another_model_is_noticed_before_the_load(dynperf: Dynperf, server: SseServer, tmp_path: Path) -> None:
    model = make_model_directory(tmp_path / "model")
    server.template_tokens = 20
    code, _, err = dynperf(*ASKED, "--tokenizer", str(model), "--aiperf", str(tmp_path / "a"))
    assert code == exit_code.USAGE
    assert "it is not the one of fake" in err
    assert not list((tmp_path / "a").glob("*")), "AIPerf was not started"


def test_a_plan_names_the_generator_and_sends_nothing(dynperf: Dynperf, server: SseServer) -> None:
    code, out, _ = dynperf(*ASKED, "--plan")
    assert (code, server.connections) == (0, 0)
    assert "load generator: AIPerf 0.13.0" in out
    assert "nothing was sent" in out


def test_ctrl_c_ends_aiperf_and_shows_the_runs_before(aiperf: Callable[[str], Path], server: SseServer, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    body = (
        "if home.name == 'run-2':\n"
        f"    import os; Path({str(begun)!r} + '.part').write_text(str(os.getpid())); os.rename({str(begun)!r} + '.part', {str(begun)!r})\n"
        "    time.sleep(600)"
    )
    argv = ["load", server.url, "--driver=aiperf", f"--aiperf-executable={aiperf(body)}", *ASKED, "--runs=3"]
    loading = subprocess.Popen(
        [sys.executable, "-m", "pytest_dynperf", *argv, "--json", str(tmp_path / "l.json")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not begun.exists() and loading.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(loading.pid, signal.SIGINT)
    out, err = loading.communicate(timeout=60)
    assert loading.returncode == exit_code.INTERRUPTED, out + err
    assert "Traceback" not in err
    assert "INVALID: run-2: interrupted by Ctrl-C; AIPerf was stopped" in out
    assert re.search(r"^throughput +674 tok/s$", out, re.MULTILINE), out
    document = written(tmp_path / "l.json")
    assert (document["interrupted"], document["valid"]) == (True, False)
    pid = int(begun.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("patient", [False, True])
def test_a_second_ctrl_c_waits_for_aiperf_to_be_stopped(patient: bool) -> None:
    with Interruption(patient=patient) as interruption:
        assert interruption.incident() is None
        signal.raise_signal(signal.SIGINT)
        assert interruption.incident() == "interrupted by Ctrl-C"
        with nullcontext() if patient else pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_real_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, real = make_model_directory(tmp_path / "model"), aiperf_executable()
    with sse_server(Behaviour(ttft_s=0.05), template_tokens=4) as server:
        asked = ("--concurrency=2", "--isl=64", "--osl=8", "--requests=30", f"--tokenizer={model}")
        files = ("--json", str(tmp_path / "l.json"), "--records", str(tmp_path / "r.jsonl"))
        code = main(["load", server.url, "--driver=aiperf", f"--aiperf-executable={real}", *asked, *files])
    out = capsys.readouterr().out
    assert code == 0, out
    assert out.splitlines()[-1] == "valid"
    ttft = value(written(tmp_path / "l.json"), "time_to_first_token.v1", "p50")
    assert ttft is not None
    assert ttft >= 0.05
    assert sum(record.measured for record in read_records(tmp_path / "r.jsonl")) == 30
