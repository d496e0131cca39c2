"""How long a case may take, with a clock that the test sets, and the kernel's timer where something is deployed."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import CaseTimeout, DeploymentError, DynperfError
from pytest_dynperf.session.deadline import CaseDeadline
from pytest_dynperf.session.plan import case_limit_s
from tests.fakes.session_reports import a_case
from tests.unit.session.test_session_ledger import settings

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_beginning_there_is_no_end() -> None:
    deadline = CaseDeadline(Clock())
    assert deadline.passed() is None
    deadline.begin(None)
    assert deadline.passed() is None
    deadline.check()


def test_it_says_what_was_going_on_and_goes_on_saying_it() -> None:
    clock = Clock()
    deadline = CaseDeadline(clock)
    deadline.begin(5)
    deadline.now("in run 2 of 3")
    assert deadline.passed() is None
    clock.now_s += 5
    text = deadline.passed()
    assert text == "the case took longer than 5 s (--dynperf-case-timeout); when they were over it was in run 2 of 3"
    deadline.now("in run 3 of 3")
    with pytest.raises(CaseTimeout, match="in run 2 of 3"):
        deadline.check()
    assert deadline.over == text
    deadline.begin(5)
    assert deadline.over is None, "the next case begins anew"


def test_what_nobody_was_told_did_not_happen() -> None:
    clock = Clock()
    deadline = CaseDeadline(clock)
    deadline.begin(5)
    clock.now_s += 6
    deadline.end()
    assert deadline.passed() is None
    assert deadline.over is None


def test_waiting_for_others_does_not_count() -> None:
    clock = Clock()
    deadline = CaseDeadline(clock)
    deadline.begin(5)
    with deadline.paused():
        clock.now_s += 1000
    assert deadline.passed() is None
    clock.now_s += 5
    assert deadline.passed() is not None


def test_a_service_that_ended_comes_first() -> None:
    clock = Clock()
    deadline = CaseDeadline(clock)
    deadline.begin(5)
    clock.now_s += 6
    assert deadline.watching(lambda: "service etcd ended")() == "service etcd ended"
    assert "took longer" in (deadline.watching(lambda: None)() or "")


def test_the_timer_interrupts_whatever_is_going_on() -> None:
    deadline = CaseDeadline()
    deadline.begin(0.05)
    with pytest.raises(CaseTimeout, match="when they were over it was deploying mocker"), deadline.enforced("deploying mocker"):
        threading.Event().wait(60)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_in_time_the_timer_leaves_no_trace() -> None:
    deadline = CaseDeadline()
    deadline.begin(60)
    with deadline.enforced("deploying mocker"):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_deployment_that_failed_by_itself_keeps_its_error() -> None:
    deadline = CaseDeadline()
    deadline.begin(60)
    with pytest.raises(DeploymentError, match="no etcd"), deadline.enforced("deploying mocker"):
        raise DeploymentError("no etcd")
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_somebody_elses_timer_is_left_alone() -> None:
    def theirs(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("not now")

    before = signal.signal(signal.SIGALRM, theirs)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        deadline = CaseDeadline()
        deadline.begin(1)
        with deadline.enforced("deploying mocker"):
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 1
        assert signal.getsignal(signal.SIGALRM) is theirs
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_begins_after_the_end() -> None:
    clock = Clock()
    deadline = CaseDeadline(clock)
    deadline.begin(5)
    clock.now_s += 5
    with pytest.raises(DynperfError, match="deploying mocker"), deadline.enforced("deploying mocker"):
        pytest.fail("nothing may be started any more")


def test_the_limit_is_what_was_asked_for_or_generous(tmp_path: Path) -> None:
    given, case = settings(tmp_path), a_case(4)
    assert case_limit_s(case, replace(given, case_timeout_s=7.5)) == 7.5
    assert case_limit_s(case, replace(given, case_timeout_s=0.0)) is None
    generous = case_limit_s(case, given)
    pairs = case_limit_s(case, replace(given, control=("baseline",)))
    assert generous is not None
    assert pairs is not None
    assert 600 < generous < pairs
