"""Many nights: which belong together, where levels changed, what drifted, and what is left out."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.anchor import mark
from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.session.history import CaseHistory, Night, Trend, cells_shown, read_history, selected, trend
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_sessions import SCATTER, a_night, accepted, named, written
from tests.fakes.session_reports import GATES, ITL, PER_USER, THROUGHPUT, TTFT, a_measurement, a_result, an_environment

if TYPE_CHECKING:
    from pathlib import Path

STAMPS = [f"202611{day:02d}T030000Z" for day in range(1, 25)]


def nights(root: Path, factors: list[float], *, baselines: Path, name: str = "case", host: str = "Intel Xeon") -> None:
    environment = replace(an_environment(), key={**an_environment().key, "cpu.model": host})
    for number, factor in enumerate(factors):
        measurement = a_measurement(4, factor * SCATTER[number % 10])
        result = replace(a_result(case=named(name)), measurement=measurement, environment=environment)
        written(root, a_night(baselines, result, stamp=STAMPS[number], session_id=f"{host[:3]}-{number}"))


def the_trend(found: tuple[CaseHistory, ...]) -> Trend:
    (history,) = found
    return trend(history, ITL)


def test_nights_of_a_case_stand_in_their_order(tmp_path: Path) -> None:
    nights(tmp_path / "week-1", [1.0, 1.1], baselines=tmp_path / "none")
    nights(tmp_path / "deep" / "er", [1.0, 1.1, 1.2], baselines=tmp_path / "none", name="other")
    found = read_history([tmp_path], None)
    assert [(one.case.partition("/")[2], len(one.nights)) for one in found] == [("case", 2), ("other", 3)]
    assert [night.stamp for night in found[1].nights] == STAMPS[:3]
    assert found[0].tolerances == {gate.cell: gate.tolerance for gate in GATES}
    assert trend(found[0], ITL).values == pytest.approx((0.00584, 0.00584 * 1.1 * SCATTER[1]))


def test_a_step_is_found_in_its_night(tmp_path: Path) -> None:
    nights(tmp_path, [1.0] * 8 + [1.1] * 8, baselines=tmp_path / "none")
    (change,) = the_trend(read_history([tmp_path], None)).changes or ()
    assert change.index == 8
    assert change.delta == pytest.approx(0.0953, abs=0.01)


def test_nights_that_only_scatter_have_no_change(tmp_path: Path) -> None:
    nights(tmp_path, [1.0] * 16, baselines=tmp_path / "none")
    assert the_trend(read_history([tmp_path], None)).changes == ()


def test_without_the_extra_the_trend_is_shown_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nights(tmp_path, [1.0] * 10, baselines=tmp_path / "none")
    monkeypatch.setitem(sys.modules, "ruptures", None)
    found = the_trend(read_history([tmp_path], None))
    assert found.changes is None
    assert found.why is not None
    assert "pytest-dynperf[history]" in found.why
    assert len(found.values) == 10


def test_another_machine_is_another_history(tmp_path: Path) -> None:
    nights(tmp_path / "a", [1.0] * 3, baselines=tmp_path / "none")
    nights(tmp_path / "b", [2.0] * 2, baselines=tmp_path / "none", host="AMD EPYC")
    found = read_history([tmp_path], None)
    assert [len(one.nights) for one in found] == [2, 3]
    assert len({one.environment for one in found}) == 2


def test_accepted_sessions_join_once(tmp_path: Path) -> None:
    """The document of a night that is there as a session is the same night; one whose run directory is gone is a night more."""
    root = tmp_path / "baselines"
    nights(tmp_path / "reports", [1.0, 1.0], baselines=root)
    accepted(root, named("case"), STAMPS[0], 1.0, session_id="Int-0")
    accepted(root, named("case"), "20261001T030000Z", 1.0, session_id="gone")
    accepted(root, named("unrelated"), "20261001T030000Z", 1.0)
    (history,) = read_history([tmp_path / "reports"], None)
    assert [night.session_id for night in history.nights] == ["gone", "Int-0", "Int-1"]
    assert [night.outcome for night in history.nights] == [None, Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert len(read_history([tmp_path / "reports"], root)) == 2, "a store that is named is shown whole"


def test_a_copy_of_a_session_is_no_second_night(tmp_path: Path) -> None:
    nights(tmp_path / "reports", [1.0, 1.0], baselines=tmp_path / "none")
    shutil.copytree(tmp_path / "reports", tmp_path / "copies")
    (history,) = read_history([tmp_path], None)
    assert [night.session_id for night in history.nights] == ["Int-0", "Int-1"]


def test_a_store_alone_is_a_history(tmp_path: Path) -> None:
    for stamp, factor in zip(STAMPS[:3], SCATTER[:3], strict=True):
        accepted(tmp_path, named("case"), stamp, factor)
    (history,) = read_history([tmp_path], None)
    assert len(history.nights) == 3
    assert cells_shown([history], []) == [[THROUGHPUT, ITL, TTFT]]


def test_drift_is_measured_against_the_anchor(tmp_path: Path) -> None:
    root = tmp_path / "baselines"
    accepted(root, named("case"), "20261001T030000Z", 1.0, session_id="anchor")
    nights(tmp_path / "reports", [1 + 0.01 * number for number in range(12)], baselines=root)
    assert the_trend(read_history([tmp_path / "reports"], None)).drift is None
    (path,) = root.glob("*/*/*/*.json")
    mark(path, [])
    drift = the_trend(read_history([tmp_path / "reports"], None)).drift
    assert drift is not None
    assert drift.crept
    assert drift.anchor == pytest.approx(0.00584)


@pytest.mark.parametrize(("rate", "crept"), [(0.48, False), (0.44, True)])
def test_the_tolerance_of_a_rate_is_in_points(rate: float, crept: bool) -> None:
    """.05 allows a hit rate of .50 to fall to .45, which is a tenth of it."""
    hits = Cell("prefix_cache_hit_rate.v1", "value")
    history = CaseHistory(
        case="suite/case",
        environment="here",
        nights=[Night(stamp=stamp, session_id="s", values={hits: rate}) for stamp in STAMPS[:12]],
        tolerances={hits: 0.05},
        anchor={hits: 0.50},
    )
    drift = trend(history, hits).drift
    assert drift is not None
    assert drift.limit >= math.log(0.50 / 0.45)
    assert drift.crept is crept


def test_invalid_nights_are_counted_and_have_no_value(tmp_path: Path) -> None:
    nights(tmp_path, [1.0, 1.0], baselines=tmp_path / "none")
    result = a_result(case=named("case"))
    bad = replace(result, verdict=replace(result.verdict, outcome=Outcome.INVALID), environment=an_environment())
    written(tmp_path, a_night(tmp_path, bad, stamp=STAMPS[5]))
    (history,) = read_history([tmp_path], None)
    assert (len(history.nights), history.invalid) == (2, 1)


def test_a_metric_without_a_worse_direction_has_a_trend_only(tmp_path: Path) -> None:
    nights(tmp_path, [1.0] * 10, baselines=tmp_path / "none")
    (history,) = read_history([tmp_path], None)
    found = trend(CaseHistory(case=history.case, environment=history.environment, nights=history.nights, meanings={}), PER_USER)
    assert (found.changes, found.drift) == (None, None)
    assert found.why == "the metric is not known here, and no file says what it means"


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    nights(tmp_path, [1.0, 1.0], baselines=tmp_path / "none")
    found = read_history([tmp_path], None)
    assert selected(found, "cas?") == found
    assert selected(found, "concurrency_sweep/*") == found
    with pytest.raises(UsageError, match=r"--case 'x\*' fits no case.*concurrency_sweep/case"):
        selected(found, "x*")
    assert cells_shown(found, ["output_token_throughput_per_user/p50"]) == [[PER_USER]]
    assert cells_shown(found, [ITL.metric]) == [[ITL]]
    with pytest.raises(UsageError, match=r"--metric 'inter_token_latenzy' is measured in no case .did you mean"):
        cells_shown(found, ["inter_token_latenzy"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no session\.json in it or below it"):
        read_history([tmp_path / "empty"], None)
