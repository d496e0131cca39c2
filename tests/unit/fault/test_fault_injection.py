"""A fault of a scenario in a real run: stamped, healed, and a problem where it did not happen."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.errors import UnsupportedFaultError
from pytest_dynperf.fault.injection import injected
from pytest_dynperf.fault.toolbox import kill
from pytest_dynperf.load.progress import Progress
from pytest_dynperf.load.run import run_load
from pytest_dynperf.metrics.series_ids import FAULT_ACTIVE
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.workload.request import Request
from tests.fakes.served import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dynperf.fault.injection import Injection
    from pytest_dynperf.observation.recording import Recording

KILL = Fault(inject="kill worker", after_share=0.1, duration_s=0.3, restore_s=30.0)
TRAFFIC = Traffic(
    isl=7,
    osl=4,
    arrival=Arrival(process="constant", rate_per_s=50.0),
    requests=200,
    warmup_requests=0,
    request_timeout_s=5.0,
    max_failures_in_a_row=100_000,
)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def run(deployment: Served, fault: Fault, traffic: Traffic = TRAFFIC) -> tuple[Recording, Injection]:
    asked = (Request(index=index, content=f"prompt {index}", isl=7, osl=4) for index in count())
    told: list[Progress] = []
    with injected(fault, deployment, instances=1) as injection:
        recording = run_load(
            deployment.endpoint,
            asked,
            traffic,
            run="1",
            seed=1,
            records_path=None,
            progress=injection.watching(told.append),
            incident=deployment.incident,
        )
    assert told, "whoever else wants to know is told"
    return recording, injection


@pytest.mark.parametrize(
    ("fault", "active_s"),
    [
        pytest.param(KILL, 0.3, id="kill"),
        pytest.param(replace(KILL, inject="restart worker"), 0.0, id="restart"),
        pytest.param(replace(KILL, inject="pause worker"), 0.3, id="pause"),
        pytest.param(replace(KILL, at_s=0.2), 0.3, id="at a time"),
    ],
)
def test_it_happens_in_the_run_and_heals(deployment: Served, fault: Fault, active_s: float) -> None:
    recording, injection = run(deployment, fault)
    (series,) = injection.series
    injected_ns, healed_ns = series.stamps_ns
    assert (series.id, series.source, series.values) == (FAULT_ACTIVE, "worker-0", (1.0, 0.0))
    assert dict(series.labels) == {"action": fault.action, "target": "worker"}
    assert recording.window_start_ns < injected_ns < recording.window_end_ns
    assert healed_ns - injected_ns >= active_s * 1e9
    assert injection.problems == ()
    assert injection.broken is None
    assert injection.witness == {"fault.injected": 1.0, "fault.active_s": (healed_ns - injected_ns) / 1e9}
    failed = [record for record in recording.measured if record.error is not None]
    assert bool(failed) == (fault.action != "pause")
    assert all(record.end_ns is not None and record.end_ns >= injected_ns for record in failed), "nothing failed before it"
    assert recording.incidents == ()
    assert deployment.incident() is None
    assert deployment.services["worker-0"].pids


def test_a_run_that_is_over_before_it_was_time_is_invalid(deployment: Served) -> None:
    _, injection = run(deployment, replace(KILL, at_s=60.0))
    assert injection.series == ()
    assert injection.witness == {"fault.injected": 0.0}
    assert len(injection.problems) == 1
    assert "was not injected: the run ended before it was time" in injection.problems[0]


def test_a_run_that_is_over_before_it_heals_is_invalid_and_heals(deployment: Served) -> None:
    _, injection = run(deployment, replace(KILL, inject="pause worker", duration_s=60.0), replace(TRAFFIC, request_timeout_s=0.5))
    assert len(injection.problems) == 1
    assert "the run ended before the fault" in injection.problems[0]
    assert injection.broken is None, "it answers again"


def interrupt(deployment: Served, seen: list[Injection]) -> None:
    """In the middle of the fault."""
    with injected(replace(KILL, inject="pause worker", duration_s=60.0), deployment, instances=1) as injection:
        seen.append(injection)
        injection.watching(lambda _: None)(Progress(run="1", done=50, total=100, tokens_per_s=None, elapsed_s=1.0))
        while not injection.series:
            pass
        raise KeyboardInterrupt


def test_an_interrupted_run_heals(deployment: Served) -> None:
    service = deployment.services["worker-0"]
    seen: list[Injection] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(deployment, seen)
    assert len(seen[0].series[0].stamps_ns) == 2
    assert {psutil.Process(pid).status() for pid in service.pids} & {psutil.STATUS_STOPPED} == set()


def test_a_system_that_does_not_come_back_is_broken(deployment: Served) -> None:
    """Two instances are expected, and there was one from the start."""
    with injected(replace(KILL, inject="pause worker", duration_s=0.1, restore_s=3.0), deployment, instances=2) as injection:
        injection.watching(lambda _: None)(Progress(run="1", done=50, total=100, tokens_per_s=None, elapsed_s=1.0))
        while not injection.series:
            pass
    assert injection.broken is not None
    assert "did not come back after the fault (pause worker after 10% of the requests, for 0.1 s), and was discarded" in injection.broken
    assert "lists 1 instances" in injection.broken
    assert injection.broken in injection.problems


def test_a_fault_that_goes_wrong_is_a_problem(deployment: Served) -> None:
    """The service is gone already when it is to be killed: nothing was injected, whatever the run shows."""
    kill(deployment.services["worker-0"])
    with injected(replace(KILL, restore_s=0.5), deployment, instances=1) as injection:
        injection.watching(lambda _: None)(Progress(run="1", done=50, total=100, tokens_per_s=None, elapsed_s=1.0))
        while not injection.problems:
            pass
    assert "went wrong: service worker-0 does not run" in injection.problems[0]
    assert injection.broken is not None


def test_what_cannot_be_is_said_before_the_run(deployment: Served) -> None:
    with (
        pytest.raises(UnsupportedFaultError, match="needs containers"),
        injected(replace(KILL, inject="cut-off worker"), deployment, instances=1),
    ):
        pytest.fail("the block must not run")
    with (
        pytest.raises(UnsupportedFaultError, match="no such service"),
        injected(replace(KILL, inject="kill etcd"), deployment, instances=1),
    ):
        pytest.fail("the block must not run")


def test_no_fault_is_no_fault(deployment: Served) -> None:
    def told(_: Progress) -> None:
        return

    with injected(None, deployment, instances=1) as injection:
        assert injection.watching(told) is told
    assert (injection.series, injection.problems, injection.broken, injection.witness) == ((), (), None, {})
