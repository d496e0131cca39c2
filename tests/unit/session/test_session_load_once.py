"""A load without a case, with the real load generator against a scripted server."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.load_once import Load, one_run, prepared
from pytest_dynperf.telemetry.host import BUSY, CAPACITY, STOLEN
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("stolen_s", "noted"), [(50.0, True), (1.0, False)])
def test_a_run_witnesses_what_the_machine_did_and_notes_a_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stolen_s: float, noted: bool
) -> None:
    times = namedtuple("scputimes", ("user", "idle", "steal"))  # type: ignore[name-match]
    readings = iter([times(user=10.0, idle=90.0, steal=0.0), times(user=30.0, idle=170.0, steal=stolen_s)])
    with sse_server(Behaviour(itl_s=0.001)) as server:
        ready = prepared(
            Load(
                endpoint=Endpoint(base_url=server.url, model="fake"),
                traffic=Traffic(isl=20, osl=4, concurrency=1, requests=30, warmup_requests=0),
                expectation=Expectation(gates=()),
                seed=1,
                root=tmp_path,
                processes=1,
            )
        )
        monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
        loaded = one_run(ready, 1)
    assert loaded.run.witness == {CAPACITY: 100.0 + stolen_s, BUSY: 20.0, STOLEN: stolen_s}
    assert loaded.recording.witness == loaded.run.witness
    assert any("hypervisor" in note for note in loaded.run.notes) is noted
