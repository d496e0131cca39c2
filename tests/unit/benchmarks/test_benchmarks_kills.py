"""What the campaign of killed sessions draws, and what it takes for a flaw."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from benchmarks.kills.kill import ALONE, CONTROLLER, SIGNALS, XDIST_WORKER, kills
from benchmarks.kills.left import flaws
from benchmarks.kills.session import Session

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_seed_draws_the_same_and_all_that_can_be_drawn_is() -> None:
    drawn = kills(200, 1, ("process", "container"))
    assert drawn == kills(200, 1, ("process", "container"))
    assert drawn != kills(200, 2, ("process", "container"))
    assert {kill.signal for kill in drawn} == set(SIGNALS)
    assert {kill.target for kill in drawn} == {ALONE, CONTROLLER, XDIST_WORKER}
    assert {(kill.target, signal.SIGKILL) for kill in drawn} <= {(kill.target, kill.signal) for kill in drawn}
    assert [kill.launcher for kill in drawn[:4]] == ["process", "container"] * 2
    assert min(kill.moment for kill in drawn) < 0.05
    assert max(kill.moment for kill in drawn) > 1


def session(root: Path, report: dict[str, Any] | str | None, *, code: int = 2) -> Session:
    run = root / "reports" / "20260101T000000Z-aa"
    (run / "records").mkdir(parents=True)
    if report is not None:
        (run / "session.json").write_text(report if isinstance(report, str) else json.dumps(report))
    return Session(root=root, leases=root, process=Mock(returncode=code), started_s=0.0)


INCOMPLETE: dict[str, Any] = {"complete": False, "cases": [], "missing": ["a", "b"], "interrupted": "SIGTERM"}
COMPLETE: dict[str, Any] = {"complete": True, "cases": [{"case_id": "a"}, {"case_id": "b"}], "missing": [], "interrupted": None}


@pytest.mark.parametrize(("report", "code"), [(INCOMPLETE, 2), (COMPLETE, 0), (COMPLETE, 1)])
def test_what_is_right(tmp_path: Path, report: dict[str, Any], code: int) -> None:
    assert flaws(session(tmp_path, report, code=code)) == []


@pytest.mark.parametrize(
    ("report", "code", "says"),
    [
        ('{"complete": fal', 2, "cannot be read"),
        (None, 2, "is missing"),
        (COMPLETE | {"cases": [{"case_id": "a"}]}, 0, "says complete with 1 of 2"),
        (COMPLETE | {"missing": ["b"]}, 0, "says complete"),
        (INCOMPLETE, 0, "exited with 0"),
    ],
)
def test_what_is_not(tmp_path: Path, report: dict[str, Any] | str | None, code: int, says: str) -> None:
    (flaw,) = flaws(session(tmp_path, report, code=code))
    assert says in flaw


def test_a_baseline_of_an_incomplete_session(tmp_path: Path) -> None:
    ended = session(tmp_path, INCOMPLETE)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "x.json").write_text("{}")
    assert flaws(ended) == ["an incomplete session became a baseline"]
