"""Command lines, environments and files of every engine, role and version, word for word."""

from __future__ import annotations

import json
import re

import pytest

from pytest_dynperf.deployment.dynamo import FIXED_PORTS, LARGEST_PORT, ports_needed
from tests.golden.matrix import CONTAINER, HERE, GoldenCase, cases, files, text_of

CASES = cases()
KEPT = HERE / "command_lines"


@pytest.mark.parametrize("name", CASES)
def test_services_are_as_written_down(name: str) -> None:
    path = KEPT / f"{name}.txt"
    assert path.is_file(), "write it with: python -m tests.golden"
    assert files()[path] == path.read_text(encoding="utf-8"), "if the change is meant, write it down with: python -m tests.golden"


def test_no_file_is_left_over() -> None:
    assert {path.stem for path in KEPT.glob("*.txt")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_every_port_is_used_once_and_small_enough(name: str) -> None:
    case = CASES[name]
    ports = [port for spec in case.specs for port in spec.ports.values()]
    assert len(ports) == len(set(ports))
    assert len(ports) <= ports_needed(case.topology)
    # Of the fixed ports those of etcd and NATS are unused where they do not run.
    assert len(ports) >= ports_needed(case.topology) - (FIXED_PORTS - 1)
    assert all(port <= LARGEST_PORT for port in ports)


@pytest.mark.parametrize("name", CASES)
def test_no_port_but_its_own_stands_in_a_command_or_environment(name: str) -> None:
    """A port that two services name belongs to one of them: nobody listens on a neighbour's."""
    specs = CASES[name].specs
    owner = {port: spec.name for spec in specs for port in spec.ports.values()}
    shared = {"etcd", "nats", "lmcache"}
    for spec in specs:
        if spec.role == "proxy":
            continue
        said = " ".join([*spec.argv, *spec.env.values()])
        named = {int(found) for found in re.findall(r"(?<!\d)20\d{3}(?!\d)", said)}
        assert {owner.get(port, "nobody") for port in named} <= {spec.name, *shared}, spec.name


@pytest.mark.parametrize("name", CASES)
def test_nothing_that_slows_an_engine_down_is_set_on_gpus(name: str) -> None:
    case = CASES[name]
    for spec in case.specs:
        if spec.role in case.topology.roles and case.topology.roles[spec.role].gpus:
            said = " ".join(spec.argv)
            assert "--enforce-eager" not in said
            assert "--kv-cache-memory-bytes" not in said
            assert "OMP_NUM_THREADS" not in spec.env


@pytest.mark.parametrize("name", CASES)
def test_devices_are_named_for_processes_and_given_to_containers(name: str) -> None:
    case = CASES[name]
    for spec in case.specs:
        if case.place is CONTAINER or not spec.gpus:
            assert "CUDA_VISIBLE_DEVICES" not in spec.env
        else:
            assert spec.env["CUDA_VISIBLE_DEVICES"] == ",".join(spec.gpus)


@pytest.mark.parametrize("name", CASES)
def test_embedded_json_is_json(name: str) -> None:
    for spec in CASES[name].specs:
        for word in (*spec.argv, *spec.env.values()):
            if word.startswith(("{", "[")):
                json.loads(word)
        for path, text in spec.files.items():
            if "/trtllm-" in path:
                json.loads(text)


def test_a_changed_flag_is_seen() -> None:
    case = CASES["mocker-agg-kv"]
    text = (KEPT / "mocker-agg-kv.txt").read_text(encoding="utf-8")
    other = GoldenCase(topology=case.topology, version="0.9.1")
    assert text_of(case) == text
    assert text_of(other) != text
