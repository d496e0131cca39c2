"""Two arms at once: each its own deployment, both stopped on every path."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DeploymentError
from tests.unit.session.test_session_duet import CASE, CONTROL, Counting

if TYPE_CHECKING:
    from pathlib import Path


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
