"""What breaks between the load generator and the server in the middle of a session: the case is invalid, and no baseline is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.fault.proxy import Disturbance, fault_proxy
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.001, itl_s=0.001)
BEFORE = 40
"""Requests that come through first: readiness, calibration, warm-up and a part of the first run."""


@pytest.mark.parametrize(
    ("disturbance", "said"),
    [
        pytest.param(Disturbance(truncate_after_bytes=600, after=BEFORE), "connection", id="truncated"),
        pytest.param(Disturbance(reset_after_bytes=600, after=BEFORE), "connection", id="reset"),
        pytest.param(Disturbance(without_done=True, after=BEFORE), "truncated", id="no [DONE]"),
        pytest.param(Disturbance(malformed_after_events=2, after=BEFORE), "malformed", id="malformed chunk"),
        pytest.param(Disturbance(error_after_events=2, after=BEFORE), "error chunk", id="error chunk"),
        pytest.param(Disturbance(zero_tokens=True, after=BEFORE), "no tokens", id="zero tokens"),
        pytest.param(Disturbance(endless=1 << 28, after=BEFORE), "malformed", id="unbounded body"),
        pytest.param(Disturbance(status=429, after=BEFORE), "HTTP 429", id="429"),
        pytest.param(Disturbance(status=500, after=BEFORE), "HTTP 500", id="500"),
        pytest.param(Disturbance(status=503, after=BEFORE), "HTTP 503", id="503"),
        pytest.param(Disturbance(status=529, after=BEFORE), "HTTP 529", id="529"),
        pytest.param(Disturbance(drip_s=0.05, after=BEFORE), "timeout", id="slow drip"),
        pytest.param(Disturbance(stall_after_bytes=600, after=BEFORE), "timeout", id="paused in mid-stream"),
    ],
)
def test_a_fault_of_the_stream_is_named_and_nothing_is_accepted(bench: Bench, disturbance: Disturbance, said: str) -> None:
    with sse_server(QUICK) as server, fault_proxy(server.url) as proxy:
        accepted = bench.run("--update-baselines", url=proxy.url)
        assert accepted.code == 0, accepted.text
        before = {path: path.read_bytes() for path in bench.baseline_files()}
        with proxy.disturbed(disturbance):
            broken = bench.run("--update-baselines", *DEADLINES, url=proxy.url)
    assert broken.code == 1, broken.text
    assert set(broken.outcomes().values()) == {"invalid"}
    first = broken.session["cases"][0]
    assert said in " ".join(first["verdict"]["reasons"]), first["verdict"]
    assert all(metric["values"] is None for metric in first["metrics"])
    assert {path: path.read_bytes() for path in bench.baseline_files()} == before


DEADLINES = (
    "--dynperf-set=traffic.request_timeout_s=1.5",
    "--dynperf-set=traffic.inter_token_timeout_s=1",
    "--dynperf-set=traffic.max_failures_in_a_row=2",
)


def test_a_fault_that_is_over_before_the_next_run_costs_one_run(bench: Bench) -> None:
    """An invalid run is repeated once, and what was valid counts."""
    with sse_server(QUICK) as server, fault_proxy(server.url) as proxy:
        with proxy.disturbed(Disturbance(status=500, after=BEFORE, times=3)):
            outcome = bench.run("--update-baselines", url=proxy.url)
        assert proxy.counts["status"] == 3
    assert outcome.code == 0, outcome.text
    (first, _) = outcome.session["cases"]
    assert len(first["runs"]) == 3
    assert len(bench.baseline_files()) == 2
