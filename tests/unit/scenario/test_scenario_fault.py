"""Faults of a scenario: what can be said, what cannot be, and what a case is called by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.scenario.fault import FAULTS, Fault, flaw
from pytest_dynperf.scenario.platform import Platform
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_scenario
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic

if TYPE_CHECKING:
    from pathlib import Path

PLATFORM = Platform(
    name="p",
    summary="s",
    file="p.toml",
    gpu_pattern="",
    gpu_count=0,
    gpu_memory_gib=0.0,
    launcher="process",
    simulated=True,
    verified=True,
    defaults={"topology": {"engine": "mocker", "model": "m"}},
)
TEXT = """
schema = 1
question = "What is lost?"

[traffic]
isl = 8
osl = 4
concurrency = 2

[[expect.gate]]
metric = "fault_error_rate.v1"
statistic = "value"
tolerance = 0.05
"""


def scenario(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "suite" / "scenario.toml"
    path.parent.mkdir()
    path.write_text(TEXT + more)
    return path


def test_a_case_without_a_fault_has_none(tmp_path: Path) -> None:
    (case,) = expand(load_scenario(scenario(tmp_path, "")), PLATFORM)
    assert case.fault is None
    assert case.case_id == "agg-isl8-osl4-c2"


def test_an_axis_of_faults(tmp_path: Path) -> None:
    more = '[fault]\nduration_s = 2\n[axes]\n"fault.inject" = ["none", "kill worker", "restart etcd"]\n'
    cases = expand(load_scenario(scenario(tmp_path, more)), PLATFORM)
    assert [case.case_id for case in cases] == ["agg-isl8-osl4-c2", "agg-isl8-osl4-c2-kill-worker", "agg-isl8-osl4-c2-restart-etcd"]
    assert [case.fault for case in cases] == [
        None,
        Fault(inject="kill worker", duration_s=2.0),
        Fault(inject="restart etcd", duration_s=2.0),
    ]
    assert len({case.topology.deployment_key for case in cases}) == 1, "a fault needs no deployment of its own"


def test_a_fault_from_the_command_line(tmp_path: Path) -> None:
    overrides = ("fault.inject=pause worker", "fault.at_s=4")
    (case,) = expand(load_scenario(scenario(tmp_path, "")), PLATFORM, overrides=overrides)
    assert case.fault == Fault(inject="pause worker", at_s=4.0)
    assert case.case_id.endswith("-pause-worker")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[fault]\ninject = "kil worker"\n', r"fault.inject: found 'kil worker', allowed is one of 'none', .*did you mean 'kill worker'"),
        ('[fault]\ninject = "kill worker"\nafter_share = 1\n', r"fault.after_share: found 1, allowed is a number from 0 to below 1"),
        ('[fault]\ninjekt = "kill worker"\n', r"there is no key 'fault.injekt' \(did you mean 'fault.inject'\?\)"),
        ('[fault]\ninject = "restart nats"\n', r"topology.planes = 'default' starts no NATS: set topology.planes = 'nats'"),
        ('[fault]\ninject = "kill decode"\n', r"topology.mode = 'agg' has no decode: its roles are worker"),
    ],
)
def test_what_has_no_meaning(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        expand(load_scenario(scenario(tmp_path, more)), PLATFORM)


def test_what_each_fault_needs_of_a_topology() -> None:
    agg = Topology(engine="mocker", model="m", planes="nats")
    disagg = Topology(engine="mocker", model="m", mode="disagg")
    impossible = {text for text in FAULTS if flaw(Fault(inject=text), agg) is not None}
    assert impossible == {f"{action} {role}" for action in ("kill", "restart", "pause", "cut-off") for role in ("prefill", "decode")}
    impossible = {text for text in FAULTS if flaw(Fault(inject=text), disagg) is not None}
    assert impossible == {f"{action} {role}" for action in ("kill", "restart", "pause", "cut-off") for role in ("worker", "nats")}


def test_words() -> None:
    assert Fault().name == "none"
    assert (Fault().action, Fault().target) == ("", "")
    kill = Fault(inject="cut-off worker", duration_s=2.5)
    assert (kill.action, kill.target, kill.name) == ("cut-off", "worker", "cut-off-worker")
    assert kill.words == "cut-off worker after 25% of the requests, for 2.5 s"
    assert Fault(inject="restart etcd", at_s=3.0).words == "restart etcd 3 s after the first answer"


def test_when_to_give_up_does_not_change_what_is_asked() -> None:
    """Baselines from before the key existed stay comparable."""
    patient = Traffic(isl=8, osl=4, concurrency=1, max_failures_in_a_row=1000)
    assert patient.workload_hash == Traffic(isl=8, osl=4, concurrency=1).workload_hash
