"""Two arms at once: each its own deployment, both stopped on every path."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import CaseTimeout, DeploymentError
from tests.unit.session.test_session_duet import CASE, CONTROL, Counting

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.session.control import ControlArm


def test_the_control_does_not_replace_the_candidate(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    candidate = deployments.get(CASE.topology)
    control = deployments.get_control(CONTROL)
    assert candidate is not control
    assert deployments.get(CASE.topology) is candidate
    assert deployments.get_control(CONTROL) is control
    assert deployments.keeps(CASE.topology)
    assert not deployments.keeps(CONTROL.case.topology), "the control never serves as a candidate"


def test_equal_topologies_are_two_deployments(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    same = replace(CONTROL, case=CASE)
    assert deployments.get(CASE.topology) is not deployments.get_control(same)
    assert len(deployments.started) == 2


def test_another_interpreter_is_another_control(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    first = deployments.get_control(CONTROL)
    second = deployments.get_control(replace(CONTROL, python=tmp_path / "python"))
    assert first is not second
    assert [one.stopped for one in deployments.started] == [True, False], "never two of one arm"


def test_each_arm_is_stopped_alone_and_close_stops_both(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    deployments.get(CASE.topology)
    deployments.get_control(CONTROL)
    deployments.discard_control()
    assert [one.stopped for one in deployments.started] == [False, True]
    deployments.get_control(CONTROL)
    deployments.close()
    assert all(one.stopped for one in deployments.started)
    deployments.close()


def test_both_are_stopped_where_stopping_one_fails(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    deployments.get(CASE.topology)
    deployments.get_control(CONTROL)

    def broken() -> None:
        msg = "it does not stop"
        raise DeploymentError(msg)

    deployments.started[1].stop = broken  # type: ignore[method-assign]
    with pytest.raises(DeploymentError, match="does not stop"):
        deployments.close()
    assert deployments.started[0].stopped


def test_what_one_case_s_baseline_lacks_here_is_not_said_of_another_s(tmp_path: Path) -> None:
    """Two cases with one topology, whose newest baselines were measured with different versions."""
    deployments = Counting(tmp_path)
    missing, there = (replace(CONTROL, versions={"mocker.version": version}) for version in ("1", "2"))
    start = deployments._start_control
    refused: list[str] = []

    def only_the_second(control: ControlArm) -> Deployment:
        if control is missing:
            refused.append("1")
            msg = "the baseline was measured with mocker 1"
            raise DeploymentError(msg)
        return start(control)

    deployments._start_control = only_the_second  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(DeploymentError, match="mocker 1"):
            deployments.get_control(missing)
    assert refused == ["1"], "tried once"
    deployments.get_control(there)
    assert [one.stopped for one in deployments.started] == [False]


class Killed:
    """A service that notes when it was killed."""

    def __init__(self, name: str, order: list[str], *, broken: bool = False) -> None:
        self.name, self.order, self.broken = name, order, broken

    def kill(self) -> None:
        self.order.append(self.name)
        if self.broken:
            raise DeploymentError("it cannot be killed")


def test_at_once_every_service_is_killed_before_anything_is_stopped(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    deployments.get(CASE.topology)
    deployments.get_control(CONTROL)
    order: list[str] = []
    for standing in deployments.started:
        services = {name: Killed(f"{standing.name} {name}", order, broken=name == "etcd") for name in ("etcd", "worker-0")}
        standing.services = services  # type: ignore[assignment]
        standing.stop = lambda standing=standing: order.append(f"{standing.name} stopped")  # type: ignore[method-assign, misc]
    deployments.close(at_once=True)
    assert len(order) == 6
    assert [text.endswith("stopped") for text in order] == [False] * 4 + [True] * 2, order


def test_in_order_no_service_is_killed(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    deployments.get(CASE.topology)
    order: list[str] = []
    deployments.started[0].services = {"etcd": Killed("etcd", order)}  # type: ignore[dict-item]
    deployments.close()
    assert order == []
    assert deployments.started[0].stopped


def test_a_deployment_that_took_too_long_is_tried_again_for_the_next_case(tmp_path: Path) -> None:
    deployments = Counting(tmp_path)
    start = deployments._start

    def late(_topology: object) -> Deployment:
        raise CaseTimeout("the case took longer")

    deployments._start = late  # type: ignore[method-assign, assignment]
    with pytest.raises(CaseTimeout):
        deployments.get(CASE.topology)
    deployments._start = start  # type: ignore[method-assign]
    assert deployments.get(CASE.topology) is deployments.started[0]
