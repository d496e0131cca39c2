from __future__ import annotations

import numpy as np
import pytest

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.run_columns import RequestColumns, RunColumns, SeriesColumn
from pytest_dynperf.observation.series import SeriesKind
from pytest_dynperf.report.course import TITLES, Panel, broken, panels


def a_run(*series: SeriesColumn, requests: RequestColumns | None = None) -> RunColumns:
    return RunColumns(run="run-1", duration_s=10.0, requests=requests or RequestColumns(), series=series)


def a_series(name: str, values: tuple[float, ...], kind: SeriesKind = SeriesKind.GAUGE, **labels: str) -> SeriesColumn:
    at = tuple(float(index) for index in range(len(values)))
    return SeriesColumn(id=name, source="worker-0", kind=kind, labels=labels, at_s=at, values=values)


REQUESTS = RequestColumns(
    sent_s=(0.0, 1.0, 2.0), first_s=(0.5, 1.25, None), end_s=(5.0, 9.0, 3.0), tokens=(90, 155, 0), failed=(0, 0, 1), measured=(1, 1, 1)
)


def by_title(found: list[Panel]) -> dict[str, Panel]:
    return {panel.title: panel for panel in found}


def test_requests_become_latencies_requests_in_flight_tokens_and_failures() -> None:
    found = by_title(panels(a_run(requests=REQUESTS)))
    (ttft,) = found["time to first token of each request"].lines
    assert list(ttft.values) == [500.0, 250.0], "a failed request has no latency"
    (flying,) = found["requests in flight"].lines
    assert list(flying.values) == [1.0, 2.0, 3.0, 2.0, 1.0, 0.0]
    (failed,) = found["requests that failed"].lines
    assert list(failed.values) == [0.0, 0.0, 1.0]
    (tokens,) = found["output tokens"].lines
    assert float(np.sum(tokens.values) * 10 / len(tokens.values)) == pytest.approx(245.0), "all tokens that came, and no more"
    assert tokens.values[0] == 0


def test_counters_become_rates_and_gauges_stay_in_their_shown_unit() -> None:
    found = by_title(
        panels(
            a_run(
                a_series(ids.ENGINE_GENERATED_TOKENS, (0.0, 100.0, 300.0), SeriesKind.COUNTER),
                a_series(ids.ENGINE_KV_CACHE_USAGE, (0.1, 0.5)),
                a_series(ids.GPU_SM_CLOCK, (1.98e9, 1.2e9), gpu="0"),
                a_series(ids.GPU_SM_CLOCK, (1.98e9, 1.98e9), gpu="1"),
            )
        )
    )
    assert list(found["engine: tokens generated"].lines[0].values) == [100.0, 200.0]
    assert list(found["engine: KV cache in use"].lines[0].values) == [10.0, 50.0]
    assert [line.label for line in found["GPU: SM clock"].lines] == ["GPU 0", "GPU 1"]
    assert list(found["GPU: SM clock"].lines[0].values) == [1980.0, 1200.0]
    assert [panel.group for panel in found.values()] == ["server", "server", "GPU"]


def test_what_never_moved_from_zero_and_what_has_no_name_is_not_drawn() -> None:
    assert not panels(a_run(a_series(ids.ENGINE_REQUESTS_WAITING, (0.0, 0.0)), a_series(ids.GPU_PRESENT, (1.0, 1.0))))


def test_a_fault_is_active_from_its_beginning_to_its_end_or_to_that_of_the_run() -> None:
    assert broken(a_run(a_series(ids.FAULT_ACTIVE, (0.0, 1.0, 1.0, 0.0)))) == ((1.0, 3.0),)
    assert broken(a_run(a_series(ids.FAULT_ACTIVE, (0.0, 1.0)))) == ((1.0, 10.0),)
    assert broken(a_run()) == ()


def test_what_an_extension_reads_is_drawn_by_its_own_name() -> None:
    found = panels(a_run(a_series("echo.depth", (3.0, 4.0)), a_series("echo.asked", (0.0, 5.0), SeriesKind.COUNTER)))
    assert [(panel.title, panel.unit) for panel in found] == [("echo.depth", "as it is"), ("echo.asked", "per second")]
    assert not panels(a_run(a_series(ids.ROUTER_OVERHEAD + ids.SUM, (0.0, 5.0), SeriesKind.COUNTER))), "ours, and not drawn"


def test_what_is_withheld_of_an_invalid_run_is_marked() -> None:
    assert {panel.title for panel in panels(a_run(requests=REQUESTS)) if panel.measured} == {
        "time to first token of each request", "latency of each request", "output tokens",
    }  # fmt: skip


def test_every_title_is_of_a_series_that_there_is() -> None:
    assert set(TITLES) <= {value for name, value in vars(ids).items() if name.isupper()}
