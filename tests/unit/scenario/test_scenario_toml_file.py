"""scenario.toml and platform files: what they say arrives, and what they must not say is refused with file, key and nearest key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Gate
from pytest_dynperf.scenario.platform_files import platform_files
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_platform, load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.scenario.platform import Platform

GATE = """
[[expect.gate]]
metric = "output_token_throughput.v1"
statistic = "value"
tolerance = 0.03
"""
SCENARIO = (
    """
schema = 1
question = "How fast?"

[topology]
engine = "mocker"
model = "m"
worker.count = 2
worker.args = "--speedup-ratio 0.9"

[traffic]
isl = 256
osl = 32
request_timeout_s = 60

[axes]
"traffic.concurrency" = [1, 4]

[axes.environment]
"traffic.concurrency" = "CONCURRENCIES"

[expect]
max_error_share = 0.1
"""
    + GATE
    + """
[platform.mocker.traffic]
isl = 128
"""
)
PLATFORM = """
schema = 1
name = "small"
summary = "one small GPU"
gpu_pattern = "T4"
gpu_count = 1
gpu_memory_gib = 16
launcher = "process"
simulated = false
verified = false

[topology]
engine = "vllm"
"""


def written(directory: Path, text: str, name: str = "scenario.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_scenario_arrives_by_dotted_key(tmp_path: Path) -> None:
    suite = tmp_path / "sweep"
    suite.mkdir()
    scenario = load_scenario(written(suite, SCENARIO))
    assert (scenario.suite, scenario.question) == ("sweep", "How fast?")
    assert scenario.layer.values == {
        "topology.engine": "mocker",
        "topology.model": "m",
        "topology.worker.count": 2,
        "topology.worker.args": ("--speedup-ratio", "0.9"),
        "traffic.isl": 256,
        "traffic.osl": 32,
        "traffic.request_timeout_s": 60.0,
        "expect.max_error_share": 0.1,
    }
    assert scenario.layer.axes == {"traffic.concurrency": (1, 4)}
    assert scenario.layer.axis_variables == {"traffic.concurrency": "CONCURRENCIES"}
    assert scenario.layer.gates == (Gate(cell=Cell("output_token_throughput.v1", "value"), tolerance=0.03),)
    assert scenario.platforms["mocker"].values == {"traffic.isl": 128}


def test_an_exact_count_and_a_required_tail_arrive(tmp_path: Path) -> None:
    exact = GATE.replace("output_token_throughput.v1", "kvbm_matched_tokens.v1") + "exact = true\n"
    tail = '[[expect.gate]]\nmetric = "time_to_first_token.v1"\nstatistic = "p99"\ntolerance = 0.1\nrequired = true\ndecisive = false\n'
    assert load_scenario(written(tmp_path, SCENARIO.replace(GATE, exact + tail))).layer.gates == (
        Gate(cell=Cell("kvbm_matched_tokens.v1", "value"), tolerance=0.03, exact=True),
        Gate(cell=Cell("time_to_first_token.v1", "p99"), tolerance=0.1, decisive=False, required=True),
    )


def test_arguments_as_a_list_and_an_axis_without_quotes(tmp_path: Path) -> None:
    text = SCENARIO.replace('"--speedup-ratio 0.9"', '["--a", "b c"]').replace('"traffic.concurrency" = [', "traffic.concurrency = [")
    layer = load_scenario(written(tmp_path, text)).layer
    assert layer.values["topology.worker.args"] == ("--a", "b c")
    assert layer.axes == {"traffic.concurrency": (1, 4)}


@pytest.mark.parametrize(
    ("old", "new", "essentials"),
    [
        ("[traffic]", "[trafic]", ["'trafic'", "did you mean 'traffic'"]),
        ("isl = 256", "ils = 256", ["'traffic.ils'", "did you mean 'traffic.isl'", "traffic.osl"]),
        ("worker.count = 2", "worker.cuont = 2", ["'topology.worker.cuont'", "did you mean 'topology.worker.count'"]),
        ("isl = 256", 'isl = "256"', ["traffic.isl", "'256'", "an integer of at least 1"]),
        ("isl = 256", "isl = true", ["traffic.isl", "True", "an integer"]),
        ("isl = 256", "isl = 0", ["traffic.isl", "found 0", "at least 1"]),
        ("osl = 32", "osl = 1", ["traffic.osl", "found 1", "at least 2"]),
        ("request_timeout_s = 60", "request_timeout_s = nan", ["traffic.request_timeout_s", "nan"]),
        ("max_error_share = 0.1", "max_error_share = 1", ["expect.max_error_share", "below 1"]),
        ('worker.count = 2\nworker.args = "--speedup-ratio 0.9"', "worker = 2", ["topology.worker", "a table"]),
        ('engine = "mocker"', 'engine = "moker"', ["topology.engine", "'moker'", "'vllm'", "did you mean 'mocker'"]),
        ('"m"', '""', ["topology.model", "not empty"]),
        ('"--speedup-ratio 0.9"', '"--text \'open"', ["topology.worker.args", "as a shell does"]),
        ('"--speedup-ratio 0.9"', '["--speedup-ratio", 0.9]', ["topology.worker.args", "a list of texts"]),
        ("[1, 4]", "[1, 0]", ["'traffic.concurrency'[1]", "found 0"]),
        ("[1, 4]", "[]", ["traffic.concurrency", "a list"]),
        ("[1, 4]", "[4, 4]", ["traffic.concurrency", "4 stands there twice"]),
        ('"traffic.concurrency" = [', '"traffic.concurency" = [', ["axes", "did you mean 'traffic.concurrency'"]),
        ('"traffic.concurrency" = [1, 4]', '"expect.max_error_share" = [0.1]', ["axes", "topology, traffic or fault"]),
        ('"CONCURRENCIES"', '"2 many"', ["axes.environment", "'2 many'", "environment variable"]),
        ("isl = 256", "isl = 256\nconcurrency = 2", ["'traffic.concurrency'", "one value 2", "keep one"]),
        ("throughput.v1", "throughput", ["expect.gate[0].metric", "did you mean 'output_token_throughput.v1'"]),
        ("output_token_throughput.v1", "input_sequence_length.v1", ["input_sequence_length.v1", "cannot be gated"]),
        ('"value"', '"p50"', ["expect.gate[0].statistic", "'p50'", "'value'"]),
        ("tolerance = 0.03", "tolerance = 3", ["expect.gate[0].tolerance", "found 3", "0.03 is 3 %"]),
        ("tolerance = 0.03", "tolerance = 0", ["expect.gate[0].tolerance", "found 0"]),
        ("tolerance = 0.03", "tolerence = 0.03", ["expect.gate[0]", "'tolerence'", "did you mean 'tolerance'"]),
        ("tolerance = 0.03", "", ["expect.gate[0]", "tolerance is missing"]),
        ("tolerance = 0.03", "tolerance = 0.03\ndecisive = 1", ["expect.gate[0].decisive", "true or false"]),
        ("tolerance = 0.03", 'tolerance = 0.03\nrequired = "yes"', ["expect.gate[0].required", "'yes'", "true or false"]),
        ("tolerance = 0.03", "tolerance = 0.03\nexact = 1", ["expect.gate[0].exact", "found 1", "true or false"]),
        ("tolerance = 0.03", "tolerance = 0.03\nexact = true", ["expect.gate[0].exact", "is no count", "'server_preemptions.v1'"]),
        ("output_token_throughput.v1", "kvbm_matched_tokens.v1", ["cannot be gated", "exact = true"]),
        (GATE, GATE + GATE, ["expect.gate[1]", "has a gate already"]),
        (GATE, "gate = 3\n", ["expect.gate", "found 3"]),
        ("[platform.mocker", "[platform.moker", ["platform.moker", "did you mean 'mocker'", "h100"]),
        ("[platform.mocker.traffic]\nisl = 128", "[platform.mocker.traffic]\nisl = -1", ["platform.mocker.traffic.isl", "-1"]),
        ("[platform.mocker.traffic]", "[platform.mocker.traffik]", ["platform.mocker", "'traffik'", "did you mean 'traffic'"]),
        ("[platform.mocker.traffic]\nisl = 128", "[platform]\nmocker = 1", ["platform.mocker", "a table"]),
        ('question = "How fast?"', "", ["question", "None"]),
        ("schema = 1", "schema = 2", ["schema", "found 2", "newer"]),
        ("schema = 1", "schema = true", ["schema", "True"]),
        ("schema = 1", "", ["schema", "missing"]),
        ("isl = 256", "isl = = 256", ["not valid TOML", "line 12"]),
        ("\nisl = 128", '\nisl = "12', ["not valid TOML", "line "]),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path: Path, old: str, new: str, essentials: list[str]) -> None:
    assert SCENARIO.count(old) >= 1, "the planted defect must be planted"
    path = written(tmp_path, SCENARIO.replace(old, new, 1))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    for essential in [str(path), *essentials]:
        assert essential in str(caught.value)


def test_a_document_that_ends_too_early_still_has_a_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="line 3"):
        load_scenario(written(tmp_path, 'schema = 1\n\nquestion = """open'))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"absent\.toml: cannot be read"):
        load_scenario(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match=r"binary\.toml: cannot be read"):
        load_scenario(binary)


def test_platform_arrives(tmp_path: Path) -> None:
    platform = load_platform(written(tmp_path, PLATFORM, "small.toml"))
    assert (platform.name, platform.gpu_pattern, platform.gpu_count, platform.gpu_memory_gib) == ("small", "T4", 1, 16.0)
    assert (platform.launcher, platform.simulated, platform.verified) == ("process", False, False)
    assert platform.defaults == {"topology": {"engine": "vllm"}}


@pytest.mark.parametrize(
    ("old", "new", "essentials"),
    [
        ('name = "small"', 'name = "other"', ["name", "'other'", "'small'"]),
        ('summary = "one small GPU"', 'summary = " "', ["summary"]),
        ("gpu_count = 1", "gpu_count = 1.5", ["gpu_count", "1.5", "an integer"]),
        ("gpu_count = 1", "gpu_count = -1", ["gpu_count", "-1"]),
        ("gpu_count = 1", "gpu_count = true", ["gpu_count", "True"]),
        ("gpu_count = 1", "gpu_count = 0", ["gpu_pattern", "'T4'", "0"]),
        ("gpu_memory_gib = 16", 'gpu_memory_gib = "16"', ["gpu_memory_gib", "'16'", "a number"]),
        ('launcher = "process"', 'launcher = "proces"', ["launcher", "'proces'", "did you mean 'process'", "'container'"]),
        ("verified = false", "", ["verified", "missing"]),
        ("simulated = false", "simulated = 0", ["simulated", "true or false"]),
        ("gpu_count = 1", "gpu_count = 1\ngpu_cont = 2", ["'gpu_cont'", "did you mean 'gpu_count'"]),
        ('engine = "vllm"', 'engine = "vlm"', ["topology.engine", "did you mean 'vllm'"]),
    ],
)
def test_a_platform_that_has_no_meaning_is_refused(tmp_path: Path, old: str, new: str, essentials: list[str]) -> None:
    assert PLATFORM.count(old) == 1
    path = written(tmp_path, PLATFORM.replace(old, new), "small.toml")
    with pytest.raises(ScenarioError) as caught:
        load_platform(path)
    for essential in [str(path), *essentials]:
        assert essential in str(caught.value)


def test_a_platform_that_cannot_answer_says_why_and_its_cases_with_it(tmp_path: Path) -> None:
    skip = '\n[platform.h100]\nskip = "it has\\n  no tiers"\n'
    scenario = load_scenario(written(tmp_path, SCENARIO + skip))
    assert scenario.skips == {"h100": "it has no tiers"}
    assert scenario.platforms["h100"].values == {}
    reasons = {name: {case.skip for case in expand(scenario, platform_of(tmp_path, name))} for name in ("mocker", "h100")}
    assert reasons == {"mocker": {None}, "h100": {"it has no tiers"}}


def platform_of(near: Path, name: str) -> Platform:
    return load_platform(platform_files(near)[name])


@pytest.mark.parametrize("reason", ["true", '" "', "3"])
def test_a_skip_without_a_reason_is_refused(tmp_path: Path, reason: str) -> None:
    with pytest.raises(ScenarioError, match=r"platform\.h100\.skip: found .* why this platform cannot answer"):
        load_scenario(written(tmp_path, f"{SCENARIO}\n[platform.h100]\nskip = {reason}\n"))


def test_one_arm_that_cannot_be_had_on_a_platform_is_skipped_alone(tmp_path: Path) -> None:
    arms = "\n[arms.off]\n[arms.on.topology]\nworker.count = 3\n"
    there = '[platform.h100.arms.on]\nskip = "not there"\n[platform.h100.arms.off.traffic]\nruns = 4\n'
    scenario = load_scenario(written(tmp_path, SCENARIO + arms + there))
    skips = {name: {(case.arm, case.skip) for case in expand(scenario, platform_of(tmp_path, name))} for name in ("mocker", "h100")}
    assert skips == {"mocker": {("off", None), ("on", None)}, "h100": {("off", None), ("on", "not there")}}
