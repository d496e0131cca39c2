"""`dynperf workload`: files in, files and words out, and nothing is replaced unasked."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from pytest_dynperf.command.workload import add_parser
from pytest_dynperf.command.workload_options import SHAPING
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.tokenizer import load_tokenizer
from pytest_dynperf.workload.trace import TraceEntry, read_trace, write_trace
from tests.fakes.model_directory import make_model_directory

ROOT = Path(__file__).parents[3]


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def workload(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> Done:
        code = main(["workload", *argv])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_model_directory(tmp_path_factory.mktemp("model")))


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """200 requests of 2 to 4 blocks of 32 tokens; four beginnings; sessions of two turns, at 5 requests/s."""
    entries = []
    for place in range(200):
        ids = (place % 4, *(1000 + 10 * place + block for block in range(1 + place % 3)))
        session, delay_s = (f"s{place // 2}", 0.5 if place % 2 else None)
        isl = 32 * len(ids) - place % 5
        entries.append(TraceEntry(line=1, at_s=place / 5, isl=isl, osl=4 + place % 9, hash_ids=ids, session_id=session, delay_s=delay_s))
    write_trace(tmp_path / "t.jsonl", entries)
    return "t.jsonl"


BLOCK = ("--block-size", "32")


# ---- looking at a trace


def test_analyze_prints_draws_and_writes(workload: Any, trace: str, tmp_path: Path) -> None:
    done = workload("analyze", trace, *BLOCK, "--svg", "t.svg", "--json", "t.json")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("t.jsonl: 200 requests in 39.8 s (5.00 requests/s), ISL 93.8 and OSL 7.96 on average, 33.4 %")
    assert [line.split("  ")[0] for line in lines[3:9]] == [
        "ISL, tokens",
        "",
        "",
        "OSL, tokens",
        "blocks reusable, %",
        "turns of a session",
    ]
    assert len({len(line) for line in lines[2:9]}) == 1, "columns are aligned"
    assert "rate: 5.00 requests/s on average" in done.out
    values = json.loads((tmp_path / "t.json").read_text())
    assert (values["schema"], values["requests"], values["context"]["mean"]) == (1, 200, 32.0)
    assert values["timing"]["burstiness"] is None
    assert values["absent"] == {"timing.burstiness": "all gaps are equal"}
    assert sum(values["isl_histogram"]["counts"]) == 200
    svg = ET.fromstring((tmp_path / "t.svg").read_text())
    assert len([node for node in svg.iter() if node.get("role") == "img"]) == 4


def test_what_is_absent_says_why(workload: Any, tmp_path: Path) -> None:
    write_trace(tmp_path / "t.jsonl", [TraceEntry(line=1, at_s=None, isl=5, osl=1, hash_ids=(0,))])
    done = workload("analyze", "t.jsonl", "--json", "t.json", "--svg", "t.svg")
    assert "rate: – (no line has a timestamp)" in done.out
    assert "sessions: – (no line has a session_id)" in done.out
    values = json.loads((tmp_path / "t.json").read_text())
    assert values["timing"] is None
    assert values["absent"] == {"timing": "no line has a timestamp", "turns": "no line has a session_id"}
    assert len([node for node in ET.fromstring((tmp_path / "t.svg").read_text()).iter() if node.get("role") == "img"]) == 3


def test_preview_shows_the_first_requests(workload: Any, trace: str) -> None:
    done = workload("preview", trace, *BLOCK, "--requests", "6")
    rows = [line.split() for line in done.out.splitlines()[:7]]
    assert rows[0] == ["line", "time", "ISL", "OSL", "blocks", "shared", "known", "session"]
    assert rows[1] == ["1", "0.000", "s", "64", "4", "2", "1", "0", "s0"]
    assert rows[5] == ["5", "0.800", "s", "92", "8", "3", "1", "1", "s2"]
    assert len(done.out.splitlines()) == 9


def test_preview_makes_the_prompts(workload: Any, trace: str, model: str) -> None:
    done = workload("preview", trace, *BLOCK, "--requests", "3", "--tokenizer", model)
    prompts = done.out.splitlines()[-3:]
    assert [prompt.partition(":")[0] for prompt in prompts] == [
        "0 of s0, turn 0, 64 tokens",
        "1 of s0, turn 1, 95 tokens",
        "2 of s1, turn 0, 126 tokens",
    ]
    assert workload("preview", trace, *BLOCK, "--requests", "3", "--tokenizer", model).out == done.out
    assert workload("preview", trace, *BLOCK, "--requests", "3", "--tokenizer", model, "--seed", "1").out != done.out


def test_text_of_a_trace_does_not_steer_the_terminal(workload: Any, tmp_path: Path) -> None:
    write_trace(tmp_path / "t.jsonl", [TraceEntry(line=1, at_s=0.0, isl=5, osl=1, hash_ids=(0,), session_id="\x1b[2J")])
    assert "\x1b" not in workload("preview", "t.jsonl").out


# ---- making traces


def test_adjust_applies_multipliers_and_bounds(workload: Any, trace: str, tmp_path: Path) -> None:
    done = workload(
        "adjust",
        trace,
        *BLOCK,
        "--output",
        "a.jsonl",
        "--prefix-length-multiplier",
        "2",
        "--max-isl",
        "130",
        "--min-osl",
        "6",
        "--max-osl",
        "8",
    )
    assert done.code == 0
    assert "a.jsonl: 134 requests" in done.out
    assert "left out: 66 requests of 200" in done.out
    made = read_trace(tmp_path / "a.jsonl", block_size=32)
    assert {entry.osl for entry in made} == {6, 7, 8}
    assert max(entry.isl for entry in made) <= 130
    assert made[0].isl == 64 + 32
    assert made[1].session_id == "s0"


def test_adjust_sorts(workload: Any, trace: str, tmp_path: Path) -> None:
    lines = (tmp_path / trace).read_text().splitlines(keepends=True)
    (tmp_path / "u.jsonl").write_text("".join(lines[::-1]))
    refused = workload("adjust", "u.jsonl", *BLOCK, "--output", "s.jsonl")
    assert refused.code == exit_code.USAGE
    assert "u.jsonl:2: timestamp 39600 is before that of line 1, 39800" in refused.err
    assert not (tmp_path / "s.jsonl").exists()
    assert workload("adjust", "u.jsonl", *BLOCK, "--output", "s.jsonl", "--sort").code == 0
    assert (tmp_path / "s.jsonl").read_text() == (tmp_path / trace).read_text()


def test_synthesize_draws_what_is_asked_for(workload: Any, trace: str, tmp_path: Path) -> None:
    done = workload("synthesize", trace, *BLOCK, "--output", "s.jsonl", "--requests", "500", "--speedup", "2")
    assert done.code == 0
    assert "s.jsonl: 500 requests in 49.9 s (10.0 requests/s)" in done.out
    assert "from t.jsonl: 200 requests" in done.out
    assert "sessions of the trace are not modelled" in done.out
    first = (tmp_path / "s.jsonl").read_bytes()
    workload("synthesize", trace, *BLOCK, "--output", "s.jsonl", "--requests", "500", "--speedup", "2", "--force")
    assert (tmp_path / "s.jsonl").read_bytes() == first
    workload("synthesize", trace, *BLOCK, "--output", "other.jsonl", "--seed", "1")
    assert len(read_trace(tmp_path / "other.jsonl", block_size=32)) == 200
    assert not first.startswith((tmp_path / "other.jsonl").read_bytes()[:2000])


def test_burstgpt_says_what_became_of_the_rows(workload: Any, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n7,GPT-4,300,0,300,API log\n9,GPT-4,0,3,3,API log\n11,GPT-4,200,5,205,API log\n"
    )
    done = workload("burstgpt", "b.csv", "--output", "b.jsonl")
    assert "b.jsonl: 2 requests in 6.0 s" in done.out
    assert (
        "of 4 rows read: 0 of other models or logs and 1 without request tokens left out; 1 without response tokens, left out" in done.out
    )
    assert "reuse of the KV cache is not modelled" in done.out
    kept = workload("burstgpt", "b.csv", "--output", "b.jsonl", "--force", "--keep-failed", "--model", "GPT-4", "--speed-ratio", "2")
    assert "1 without response tokens, kept, with an output length of 0" in kept.out
    assert [entry.at_s for entry in read_trace(tmp_path / "b.jsonl", block_size=128)] == [0.0, 2.0]
    refused = workload("burstgpt", "b.csv", "--output", "c.jsonl", "--skip-num-prompt", "2")
    assert (refused.code, "none of 4 rows is left" in refused.err) == (exit_code.USAGE, True)


def test_sine_prints_its_parameters(workload: Any, tmp_path: Path) -> None:
    done = workload("sine", "--output", "s.jsonl", "--time-duration", "20", "--request-rate-max", "6", "--isl1", "64")
    assert done.code == 0
    assert "seed 0, 20 s in intervals of 1 s: 5 to 6 requests/s, period 10 s; 20 % to 80 % of them ISL 64 and OSL 2000" in done.out
    first = (tmp_path / "s.jsonl").read_bytes()
    workload("sine", "--output", "again.jsonl", "--time-duration", "20", "--request-rate-max", "6", "--isl1", "64")
    assert (tmp_path / "again.jsonl").read_bytes() == first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--request-rate-min", "20"), "--request-rate-min 20 is above --request-rate-max 10; exchange them"),
        (("--isl-osl-ratio-min", "0.9"), "--isl-osl-ratio-min 0.9 is above --isl-osl-ratio-max 0.8"),
        (("--request-rate-min", "0", "--request-rate-max", "0"), "no request in 100 s at 0 to 0 requests/s"),
        (("--isl1", "0"), "argument --isl1: found '0', allowed is an integer of at least 1"),
        (("--isl-osl-ratio-max", "1.5"), "argument --isl-osl-ratio-max: found '1.5', allowed is a number from 0 to 1"),
        (("--time-duration", "nan"), "argument --time-duration: found 'nan', allowed is a number greater than 0"),
        (("--request-rate-min", "fast"), "argument --request-rate-min: found 'fast', allowed is a number of at least 0"),
    ],
)
def test_sine_refuses_what_has_no_meaning(workload: Any, options: tuple[str, ...], said: str) -> None:
    done = workload("sine", "--output", "s.jsonl", *options)
    assert done.code == exit_code.USAGE
    assert said in done.err


@pytest.mark.parametrize("command", ["adjust", "synthesize"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--min-isl", "10", "--max-isl", "9"), "--min-isl = 10 is above --max-isl = 9"),
        (("--prefix-length-multiplier", "0"), "--prefix-length-multiplier: found 0.0, allowed is a number greater than 0"),
        (("--prefix-root-multiplier", "1.5"), "--prefix-root-multiplier: found '1.5', allowed is an integer of at least 1"),
        (("--min-isl", "999999"), "with --min-isl = 999999 no request is left"),
    ],
)
def test_shaping_refuses_what_has_no_meaning(workload: Any, trace: str, command: str, options: tuple[str, ...], said: str) -> None:
    done = workload(command, trace, *BLOCK, "--output", "o.jsonl", *options)
    assert done.code == exit_code.USAGE
    assert said in done.err


# ---- requests


def test_write_gives_the_exact_prompts_of_any_workload(workload: Any, trace: str, model: str, tmp_path: Path) -> None:
    counts = load_tokenizer((tmp_path / model).resolve()).count
    for options, number in (
        (("--isl", "40", "--osl", "8", "--prefix-ratio", "0.5"), 5),
        (("--isl", "40", "--osl", "8", "--isl-stddev", "4"), 5),
        (("--isl", "60", "--osl", "8", "--turns", "3", "--turn-delay", "0.5"), 6),
        (("--trace", trace, *BLOCK), 7),
    ):
        done = workload("write", *options, "--requests", str(number), "--tokenizer", model, "--output", "r.jsonl", "--force")
        assert (done.code, done.out) == (0, f"r.jsonl: {number} requests, seed 0\n"), done.err
        requests = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
        assert [request["index"] for request in requests] == list(range(number))
        assert list(requests[0]) == ["schema", *(field.name for field in fields(Request))]
        for request in requests:
            assert counts(request["content"], tuple(tuple(turn) for turn in request["history"])) == request["isl"]


def test_write_takes_all_of_a_trace(workload: Any, trace: str, model: str, tmp_path: Path) -> None:
    assert "200 requests" in workload("write", "--trace", trace, *BLOCK, "--tokenizer", model, "--output", "r.jsonl").out
    last = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[-1])
    assert (last["conversation"], last["turn"], last["delay_s"], last["at_s"]) == ("s99", 1, 0.5, 39.8)


def test_write_takes_what_adjust_leaves(workload: Any, trace: str, model: str) -> None:
    shaping = ("--max-isl", "100", "--prefix-length-multiplier", "1.5", "--seed", "5")
    adjusted = workload("adjust", trace, *BLOCK, *shaping, "--output", "a.jsonl").out
    count = adjusted.split()[1]
    assert 0 < int(count) < 200
    assert workload("write", "--trace", trace, *BLOCK, *shaping, "--tokenizer", model, "--output", "r.jsonl").out.split()[1] == count


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--isl and --osl is missing"),
        (("--isl", "40", "--osl", "8", "--turns", "2", "--prefix-ratio", "0.5"), "--turns and --prefix-ratio cannot be combined"),
        (("--isl", "2", "--osl", "8"), "ISL 2 is too short"),
    ],
)
def test_write_refuses_what_has_no_meaning(workload: Any, model: str, options: tuple[str, ...], said: str) -> None:
    done = workload("write", *options, "--tokenizer", model, "--output", "r.jsonl")
    assert done.code == exit_code.USAGE
    assert said in done.err


# ---- files


@pytest.mark.parametrize(
    "argv",
    [
        ("analyze", "t.jsonl", *BLOCK, "--svg", "there"),
        ("analyze", "t.jsonl", *BLOCK, "--json", "there"),
        ("adjust", "t.jsonl", *BLOCK, "--output", "there"),
        ("synthesize", "t.jsonl", *BLOCK, "--output", "there"),
        ("sine", "--output", "there"),
        ("burstgpt", "none.csv", "--output", "there"),
        ("write", "--isl", "40", "--osl", "8", "--tokenizer", "none", "--output", "there"),
    ],
)
def test_a_file_that_exists_is_replaced_with_force_alone(workload: Any, trace: str, tmp_path: Path, argv: tuple[str, ...]) -> None:
    (tmp_path / "there").write_text("precious")
    done = workload(*argv)
    assert (done.code, done.err) == (exit_code.USAGE, "dynperf: error: there exists. Choose another name, or replace it with --force.\n")
    assert (tmp_path / "there").read_text() == "precious"
    if argv[0] in {"analyze", "adjust", "synthesize", "sine"}:
        assert workload(*argv, "--force").code == 0
        assert (tmp_path / "there").read_text() != "precious"


def test_a_directory_is_never_replaced(workload: Any, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = workload("sine", "--output", "there", "--force")
    assert (done.code, "it is a directory" in done.err) == (exit_code.USAGE, True)


def test_a_trace_that_is_wrong_leaves_no_file(workload: Any, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"timestamp": 0, "input_length": 4, "output_tokens": 3, "hash_ids": [1]}\n')
    for argv in (("analyze", "t.jsonl", "--json", "o"), ("adjust", "t.jsonl", "--output", "o"), ("preview", "t.jsonl")):
        done = workload(*argv)
        assert (done.code, done.out) == (exit_code.USAGE, "")
        assert "t.jsonl:1: output_length is missing. There is output_tokens" in done.err
        assert not (tmp_path / "o").exists()


# ---- the page


def test_the_commands_of_the_page_run_in_their_order(workload: Any) -> None:
    blocks = re.findall(r"```shell\n(.*?)```", (ROOT / "docs" / "traces.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) >= 6
    for command in commands:
        program, name, *options = shlex.split(command)
        assert (program, name) == ("dynperf", "workload")
        done = workload(*options)
        assert (done.code, done.err) == (0, ""), command


def test_the_page_names_every_command_and_the_fields_of_a_request() -> None:
    page = (ROOT / "docs" / "traces.md").read_text(encoding="utf-8")
    subparsers = argparse.ArgumentParser().add_subparsers()
    add_parser(subparsers)
    [commands] = [action for action in subparsers.choices["workload"]._actions if isinstance(action, argparse._SubParsersAction)]
    for name in commands.choices:
        assert re.search(rf"`{name}`|\*\*{name}\*\*|workload {name}", page), name
    for field in fields(Request):
        assert f"`{field.name}`" in page
    for keyed in SHAPING:
        assert f"`{keyed.option}" in page, keyed.option


def test_the_lines_of_the_page_are_a_trace(tmp_path: Path) -> None:
    (lines,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "traces.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "t.jsonl").write_text(lines)
    assert len(read_trace(tmp_path / "t.jsonl", block_size=512)) == 2
