"""Two arms at once: each its own deployment, both stopped on every path."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DeploymentError
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
