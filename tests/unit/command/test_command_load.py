"""`dynperf load` against a scripted server: what is sent, printed, written and returned."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from pytest_dynperf.observation.record_file import read_records
from pytest_dynperf.session import load_once
from tests.fakes.http_stub import answer, serving
from tests.fakes.model_directory import make_model_directory
from tests.fakes.sse_server import Behaviour, SseServer, sse_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
GENEROUS = (
    *("--max-send-lag=60", "--max-receive-lag=60", "--max-uncertain-share=0.99", "--max-late-share=0.99"),
    *("--min-in-flight-share=0.01", "--min-rate-share=0.01"),
)
"""The machine that runs the tests may be busy; what is measured is not judged here."""
SMALL = ("--concurrency", "2", "--requests", "30", "--warmup", "0", "--isl", "20", "--osl", "4", *GENEROUS)
FINE, REFUSING = Behaviour(), Behaviour(status=503)
CHECKS = (FINE, FINE, FINE)
"""What is asked before the load: one completion, and two that calibrate."""


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def server() -> Iterator[SseServer]:
    with sse_server(FINE) as running:
        yield running


@pytest.fixture
def dynperf(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*argv: str) -> Done:
        code = main(argv)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def load_requests(server: SseServer) -> list[dict[str, Any]]:
    return [request.body for request in server.requests if request.body.get("stream")]


def prompts(server: SseServer) -> list[str]:
    return [body["messages"][0]["content"] for body in load_requests(server)]


# ---- a load that goes well


def test_a_valid_run_prints_a_table_a_certificate_and_valid(server: SseServer, dynperf: Any) -> None:
    done = dynperf("load", server.url, *SMALL)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"{server.url}: model fake, chat completions"
    assert lines[-1] == "valid"
    assert "30 measured requests" in done.out
    assert "none failed" in done.out
    assert "calibrated by the server's own counts" in done.out
    assert re.search(r"^TTFT \(ms\) +[\d.]+ +[\d.]+ +[\d.]+ +– +–$", done.out, re.MULTILINE), done.out
    assert "– p99 needs 1000 samples: TTFT" in done.out
    assert "– the number of GPUs is unknown: per GPU" in done.out
    assert re.search(r"send lag +p99 .* ms, allowed 60,000 ms", done.out)
    assert "\x1b" not in done.out
    assert "run CV" not in done.out


def test_what_is_asked_is_what_the_options_say(server: SseServer, dynperf: Any) -> None:
    dynperf("load", server.url, *SMALL, "--extra-body", '{"temperature": 0}')
    bodies = load_requests(server)
    assert len(bodies) >= 30
    assert {body["model"] for body in bodies} == {"fake"}
    assert {body["temperature"] for body in bodies} == {0}
    assert {body["ignore_eos"] for body in bodies} == {True}
    assert {body["max_tokens"] for body in bodies} == {4}
    assert server.max_in_flight == 2
    counts = {len(prompt.split()) + server.template_tokens for prompt in prompts(server)}
    assert counts == {20}


def test_without_ignore_eos_a_short_answer_is_no_failure(dynperf: Any) -> None:
    with sse_server(Behaviour(osl=3, finish_reason="stop")) as server:
        assert "wrong length" in dynperf("load", server.url, *SMALL).out
        done = dynperf("load", server.url, *SMALL, "--no-ignore-eos")
    assert done.code == 0
    assert "ignore_eos" not in load_requests(server)[-1]


def test_equal_seeds_ask_the_same_and_the_printed_one_is_such_a_seed(server: SseServer, dynperf: Any) -> None:
    first = dynperf("load", server.url, *SMALL)
    asked = sorted(prompts(server)[:30])
    seed = re.findall(r"seed (\d+)", first.out)[0]
    server.requests.clear()
    dynperf("load", server.url, *SMALL, "--seed", seed)
    assert sorted(prompts(server)[:30]) == asked
    server.requests.clear()
    dynperf("load", server.url, *SMALL, "--seed", str(int(seed) + 1))
    assert not set(prompts(server)) & set(asked)


def test_runs_have_prompts_of_their_own_a_run_cv_and_a_file_each(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    done = dynperf("load", server.url, *SMALL, "--runs", "3", "--records", str(tmp_path / "r.jsonl"), "--json", str(tmp_path / "r.json"))
    assert done.code == 0
    assert "mean of 3 runs" in done.out
    assert "run CV" in done.out
    files = [tmp_path / name for name in ("r.jsonl", "r.run-2.jsonl", "r.run-3.jsonl")]
    for file, name in zip(files, ("run-1", "run-2", "run-3"), strict=True):
        records = list(read_records(file))
        assert {record.run for record in records} == {name}
        assert sum(record.measured for record in records) == 30
    assert len(set(prompts(server))) == len(prompts(server))
    written = json.loads((tmp_path / "r.json").read_text())
    ttft = next(metric for metric in written["metrics"] if (metric["id"], metric["statistic"]) == ("time_to_first_token.v1", "p50"))
    assert len(ttft["values"]) == 3
    assert ttft["mean"] == pytest.approx(sum(ttft["values"]) / 3)
    assert ttft["run_cv"] > 0


def test_runs_ask_for_the_same_lengths_in_other_words(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    argv = ("--concurrency=2", "--requests=30", "--warmup=0", "--isl=40", "--isl-stddev=9", "--osl=4", "--runs=2", *GENEROUS)
    assert dynperf("load", server.url, *argv, "--records", str(tmp_path / "r.jsonl")).code == 0
    first, second = ({record.index: record.isl_requested for record in read_records(path)} for path in sorted(tmp_path.iterdir()))
    assert {index: first[index] for index in range(30)} == {index: second[index] for index in range(30)}
    assert len(set(first.values())) > 5
    assert len(set(prompts(server))) == len(prompts(server))


def test_a_trace_is_sent_as_its_lines_say(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = [{"timestamp": 10 * at, "input_length": 20 + at, "output_length": 3, "hash_ids": [at]} for at in range(40)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = dynperf("load", server.url, "--trace", str(path), "--min-isl", "25", *GENEROUS)
    assert done.code == 0, done.out
    assert "35 measured requests" in done.out
    assert [len(prompt.split()) + server.template_tokens for prompt in prompts(server)] == list(range(25, 60))


def test_the_json_says_what_was_asked_found_and_by_what(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "load.json"
    dynperf("load", server.url, *SMALL, "--json", str(path), "--seed", "7", "--gpus", "2", "--header", "X-Team: secret-team")
    written = json.loads(path.read_text())
    assert (written["schema"], written["valid"], written["interrupted"], written["problems"], written["seed"]) == (1, True, False, [], 7)
    assert written["endpoint"]["headers"] == ["X-Team"]
    assert "secret-team" not in path.read_text()
    assert written["traffic"]["concurrency"] == 2
    assert written["software"]["pytest-dynperf"]
    [run] = written["runs"]
    assert (run["valid"], run["requests"], run["errors"]) == (True, 30, 0)
    assert run["certificate"]["send_lag_p99_s"] >= 0
    metrics = {(metric["id"], metric["statistic"]): metric for metric in written["metrics"]}
    assert metrics["output_token_throughput_per_gpu.v1", "value"]["mean"] > 0
    assert metrics["output_token_throughput.v1", "value"]["unit"] == "tokens/s"
    assert metrics["time_to_first_token.v1", "p99"] | {"values": None} == {
        "id": "time_to_first_token.v1",
        "statistic": "p99",
        "unit": "s",
        "direction": "lower is better",
        "values": None,
        "absent": "p99 needs 1000 samples, found 30",
        "mean": None,
        "run_cv": None,
    }


def test_the_python_of_the_page_runs(server: SseServer) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "load.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    written = json.loads(names["load"](server.url, "fake"))
    assert written["runs"][0]["requests"] == 30


# ---- a load that must not be judged


def test_a_server_that_fails_every_request_gives_no_number_and_exit_code_1(dynperf: Any, tmp_path: Path) -> None:
    with sse_server(*CHECKS, REFUSING) as server:
        done = dynperf("load", server.url, *SMALL, "--runs", "3", "--json", str(tmp_path / "l.json"))
    assert done.code == exit_code.INVALID
    assert "no successful request" in done.out
    assert "overloaded" in done.out
    assert "INVALID: " in done.out
    assert not re.search(r"TTFT|ITL|tok/s|req/s", done.out), done.out
    written = json.loads((tmp_path / "l.json").read_text())
    assert not written["valid"]
    assert len(written["runs"]) == 1, "a server that is down is not asked again"
    found = {metric["id"]: metric["mean"] for metric in written["metrics"] if metric["mean"] is not None}
    assert found["request_error_rate.v1"] == 1.0
    assert not [metric for metric in found if "latency" in metric or "token" in metric or "throughput" in metric]


def test_an_invalid_run_shows_what_was_measured_and_why_it_must_not_be_judged(dynperf: Any) -> None:
    with sse_server(*CHECKS, FINE, FINE, REFUSING, FINE) as server:
        done = dynperf("load", server.url, *SMALL)
    assert done.code == exit_code.INVALID
    assert re.search(r"^TTFT", done.out, re.MULTILINE)
    assert "1 failed: 1 overloaded" in done.out
    assert "INVALID: 1 of 30 requests failed" in done.out
    assert "must not be judged" in done.out
    assert not done.out.rstrip().endswith("\nvalid")


def test_errors_that_are_allowed_do_not_make_a_run_invalid(dynperf: Any) -> None:
    with sse_server(*CHECKS, FINE, FINE, REFUSING, FINE) as server:
        done = dynperf("load", server.url, *SMALL, "--max-error-share", "0.1")
    assert done.code == 0
    assert "1 failed: 1 overloaded" in done.out


# ---- the server


def test_the_model_is_asked_for_and_must_be_one(dynperf: Any) -> None:
    listing = json.dumps({"data": [{"id": "a"}, {"id": "b"}]}).encode()
    with sse_server(FINE, models_body=listing) as server:
        done = dynperf("load", server.url, *SMALL)
        assert (done.code, server.requests) == (exit_code.USAGE, [])
        assert "serves 2 models: a, b. Give --model NAME." in done.err
    with sse_server(FINE, models_body=b'{"data": []}') as server:
        assert "lists no model at all" in dynperf("load", server.url, *SMALL).err
    with sse_server(FINE) as server:
        done = dynperf("load", server.url, *SMALL, "--model", "fak")
        assert "does not serve the model 'fak' (did you mean 'fake'?)" in done.err


def test_a_path_prefix_stays_and_a_v1_does_no_harm(server: SseServer, dynperf: Any) -> None:
    for end in ("/team-a", "/team-a/", "/team-a/v1", "/team-a/v1/chat/completions"):
        assert dynperf("load", server.url + end, *SMALL).code == 0
    assert {request.path for request in server.requests} == {"/team-a/v1/chat/completions"}


def test_the_key_and_headers_are_sent_and_the_key_is_neither_printed_nor_written(
    server: SseServer, dynperf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    files = ("--records", str(tmp_path / "r.jsonl"), "--json", str(tmp_path / "r.json"))
    done = dynperf("load", server.url, *SMALL, *files, "--api-key-env", "SOME_KEY", "--header", "X-Tenant: perf")
    assert done.code == 0
    assert {request.headers.get("authorization") for request in server.requests} == {"Bearer sk-very-secret"}
    assert {request.headers.get("x-tenant") for request in server.requests} == {"perf"}
    said = done.out + done.err + "".join(path.read_text() for path in tmp_path.iterdir())
    assert "sk-very-secret" not in said
    assert "SOME_KEY" in said


def test_https_with_a_private_authority(dynperf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl to make a certificate, found none")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    argv = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with sse_server(FINE, tls=context) as server:
        distrusted = dynperf("load", server.url, *SMALL)
        trusted = dynperf("load", server.url, *SMALL, "--ca-file", str(certificate))
    assert distrusted.code == exit_code.USAGE
    assert "TLS failed" in distrusted.err
    assert trusted.code == 0, trusted.out + trusted.err
    assert "stamps are taken in the program" in trusted.out


def test_a_tokenizer_of_another_model_is_noticed_before_the_load(dynperf: Any, tmp_path: Path) -> None:
    model = make_model_directory(tmp_path / "model")
    with sse_server(FINE, template_tokens=20) as server:
        done = dynperf("load", server.url, *SMALL, "--isl", "40", "--tokenizer", str(model))
    assert done.code == exit_code.USAGE
    counted = re.search(r"counts (\d+) tokens for a prompt of which http://127.0.0.1:\d+ counts (\d+)", done.err)
    assert counted is not None, done.err
    assert counted[1] == "40"
    assert counted[2] != "40"
    assert load_requests(server) == []


def test_a_tokenizer_that_counts_as_the_server_does(dynperf: Any, tmp_path: Path) -> None:
    # One word of a prompt is one token of the fake server, and the template of the made-up model takes four.
    with sse_server(FINE, template_tokens=4) as server:
        model = make_model_directory(tmp_path / "model")
        done = dynperf("load", server.url, *SMALL, "--tokenizer", str(model))
    assert done.code == 0, done.err + done.out
    assert f"tokenizer in {model}" in " ".join(done.out.split())


def test_a_server_that_is_not_there(dynperf: Any) -> None:
    done = dynperf("load", "http://127.0.0.1:9", *SMALL)
    assert done.code == exit_code.USAGE
    assert "nothing listens there" in done.err
    assert done.out == ""


# ---- files, plan, interruption


def test_objectives_make_a_goodput(dynperf: Any, tmp_path: Path) -> None:
    with sse_server(Behaviour(ttft_s=0.02)) as server:
        easy = dynperf("load", server.url, *SMALL, "--goodput", "ttft=60s", "latency=60s")
        hard = dynperf("load", server.url, *SMALL, "--goodput", "ttft=60s", "--goodput", "latency=1ms")
    assert re.search(r"^goodput +[1-9][\d.,]* req/s$", easy.out, re.MULTILINE), easy.out
    assert re.search(r"^goodput +0 req/s$", hard.out, re.MULTILINE), hard.out


def test_metrics_of_the_server_are_read_meanwhile(dynperf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_once, "METRICS_EVERY_S", 0.02)
    page = b"# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc 0.25\n"
    with serving() as engine, sse_server(Behaviour(ttft_s=0.02)) as server:
        engine.answers["/metrics"] = answer(page, content_type="text/plain; version=0.0.4")
        urls = ("--metrics-url", f"engine={engine.url}/metrics", "--metrics-url", f"gone={engine.url}/nothing")
        done = dynperf("load", server.url, *SMALL, *urls, "--json", str(tmp_path / "l.json"))
    assert done.code == 0, done.out
    assert re.search(r"^kv_cache_usage_max +25.0 %$", done.out, re.MULTILINE), done.out
    assert re.search(r"^note: .*gone", done.out, re.MULTILINE)
    written = json.loads((tmp_path / "l.json").read_text())
    assert any("gone" in note for note in written["notes"])
    assert set(written["endpoint"]["metrics_urls"]) == {"engine", "gone"}


def test_what_aiperf_would_have_written(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    assert dynperf("load", server.url, *SMALL, "--aiperf", str(tmp_path / "a")).code == 0
    summary = json.loads((tmp_path / "a" / "run-1" / "profile_export_aiperf.json").read_text())
    assert summary["request_count"]["avg"] == 30
    assert len((tmp_path / "a" / "run-1" / "profile_export.jsonl").read_text().splitlines()) == 30


def test_two_processes_ask_the_same_as_one(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    argv = ("load", server.url, *SMALL, "--seed", "3", "--json", str(tmp_path / "l.json"))
    assert dynperf(*argv, "--processes", "2").code == 0
    written = json.loads((tmp_path / "l.json").read_text())
    assert written["processes"] == len(written["runs"][0]["certificate"]["processes"]) == 2
    asked = set(prompts(server))
    server.requests.clear()
    assert dynperf(*argv, "--processes", "1").code == 0
    assert len(asked & set(prompts(server))) >= 30


def test_an_open_loop_states_its_rate(server: SseServer, dynperf: Any) -> None:
    done = dynperf("load", server.url, "--rate", "200", "--requests", "40", "--warmup", "0", "--isl", "20", "--osl", "4", *GENEROUS)
    assert done.code == 0, done.out
    assert "open loop, 200 requests/s, Poisson" in done.out
    assert re.search(r"rate +[\d.,]+ req/s sent of [\d.,]+ req/s due, \d+ late, 0 dropped", done.out)


@pytest.mark.parametrize("option", ["--json", "--records", "--aiperf"])
def test_what_cannot_be_written_is_refused_before_the_load(option: str, server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = dynperf("load", server.url, *SMALL, option, str(tmp_path / "file" / "below"))
    assert (done.code, server.requests) == (exit_code.USAGE, [])
    assert f"cannot write {tmp_path / 'file' / 'below'}" in done.err


def test_two_results_in_one_file_are_refused(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    done = dynperf("load", server.url, *SMALL, "--json", str(tmp_path / "x"), "--records", str(tmp_path / "x"))
    assert (done.code, server.requests) == (exit_code.USAGE, [])
    assert "--json and --records both name" in done.err


def test_a_directory_is_no_file(server: SseServer, dynperf: Any, tmp_path: Path) -> None:
    done = dynperf("load", server.url, *SMALL, "--json", str(tmp_path))
    assert done.code == exit_code.USAGE
    assert "it is a directory" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_plan_sends_nothing(server: SseServer, dynperf: Any) -> None:
    done = dynperf("load", server.url, *SMALL, "--plan", "--runs", "2")
    assert (done.code, server.connections) == (0, 0)
    assert "2 runs of 0 to warm up and 30 measured requests" in done.out
    assert "nothing was sent" in done.out


def test_a_plan_of_a_trace_is_as_long_as_the_trace(dynperf: Any, tmp_path: Path) -> None:
    lines = [{"timestamp": at, "input_length": 20, "output_length": 100, "hash_ids": [at]} for at in (0, 60_000)]
    (tmp_path / "t").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = dynperf("load", "http://h", "--trace", str(tmp_path / "t"), "--speedup", "2", "--plan")
    assert "about 31.0 s, if an output token takes 10 ms" in done.out


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_prints_and_writes_what_was_measured(processes: int, tmp_path: Path) -> None:
    """As on a terminal: the whole group of processes gets the signal."""
    json_file, records = tmp_path / "l.json", tmp_path / "l.jsonl"
    with sse_server(Behaviour(itl_s=0.01)) as server:
        argv = ["load", server.url, "--concurrency", "2", "--requests", "5000", "--isl", "20", "--osl", "4", "--runs", "3"]
        argv += ["--processes", str(processes)]
        loading = subprocess.Popen(
            [sys.executable, "-m", "pytest_dynperf", *argv, "--json", str(json_file), "--records", str(records)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while len(server.requests) < 40 and loading.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(loading.pid, signal.SIGINT)
        out, err = loading.communicate(timeout=60)
    assert loading.returncode == exit_code.INTERRUPTED, out + err
    assert "Traceback" not in err
    assert "INVALID: interrupted by Ctrl-C" in out
    assert re.search(r"^TTFT", out, re.MULTILINE)
    written = json.loads(json_file.read_text())
    assert (written["interrupted"], written["valid"], len(written["runs"])) == (True, False, 1)
    assert sum(record.error is None for record in read_records(records)) >= 30
