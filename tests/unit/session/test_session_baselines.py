"""Looking at the store, comparing, anchors, pruning, and waivers where they count."""

from __future__ import annotations

import datetime
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.anchor import is_marked, mark
from pytest_dynperf.baseline.listing import list_store
from pytest_dynperf.baseline.store import document_files, write
from pytest_dynperf.baseline.waivers import waivers_path
from pytest_dynperf.errors import BaselineError, UsageError
from pytest_dynperf.session.baselines import compare_files, noise_of, one_ring, prune, ring_of_document, set_anchor, waived
from pytest_dynperf.session.ledger import write_reports
from pytest_dynperf.session.session_files import one_session
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.observations import KEY, THROUGHPUT, TTFT, document_of
from tests.fakes.session_reports import a_report, a_result
from tests.unit.session.test_session_ledger import settings

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline

CASE = "smoke/agg-isl256-osl3-c4"


def session(number: int, *, factor: float = 1.0, epoch: int = 0, key: dict[str, str] = KEY) -> Baseline:
    columns = {TTFT: [factor * value for value in (0.05, 0.051, 0.052)], THROUGHPUT: [value / factor for value in (96.0, 97.0, 98.0)]}
    return document_of(columns, number=number, epoch=epoch, key=key)


def filled(root: Path, count: int = 3) -> list[Path]:
    return [write(root, session(number, factor=1 + 0.01 * (number % 3))) for number in range(count)]


# ---- waivers

WAIVERS = """[[waiver]]
case = "concurrency_sweep/*"
reason = "known"
link = "https://example.org/7"
expires = {}
"""


def with_waivers(root: Path, expires: datetime.date | str) -> None:
    path = waivers_path(root / "baselines")
    path.parent.mkdir()
    path.write_text(WAIVERS.format(expires))


@pytest.mark.parametrize(("days", "holds"), [(0, True), (-1, False)])
def test_the_day_is_that_of_the_session_in_utc(tmp_path: Path, days: int, *, holds: bool) -> None:
    with_waivers(tmp_path, datetime.date(2026, 11, 21) + datetime.timedelta(days=days))
    regressed = a_result(4, Outcome.REGRESSED)
    found = waived(regressed.verdict, regressed.case, settings(tmp_path, stamp="20261121T235959Z"))
    assert ((found.waiver is not None), len(found.expired)) == (holds, 0 if holds else 1)


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    regressed = a_result(4, Outcome.REGRESSED)
    assert waived(regressed.verdict, regressed.case, settings(tmp_path)) == regressed.verdict


def test_waivers_that_cannot_be_read_make_the_case_invalid(tmp_path: Path) -> None:
    with_waivers(tmp_path, '"soon"')
    result = a_result(4)
    found = waived(result.verdict, result.case, settings(tmp_path))
    assert found.outcome is Outcome.INVALID
    assert "waivers.toml: waiver 1: expires must be a date" in found.reasons[0]


# ---- looking


def test_the_noise_of_a_ring_is_that_of_its_sessions(tmp_path: Path) -> None:
    filled(tmp_path, 4)
    (ring,) = list_store(tmp_path).rings
    cells = {cell.cell: cell for cell in noise_of(ring, {})}
    assert set(cells) == {THROUGHPUT, TTFT}, "what the documents do not hold is not shown"
    assert cells[TTFT].history == pytest.approx([median(run.values[TTFT] for run in one.runs) for one in ring.ring])
    less, more = (noise_of(ring, {TTFT.metric: sd})[-1].mde for sd in (0.01, 0.1))
    assert less is not None
    assert more is not None
    assert less < more, "the pooled prior counts"


def test_a_case_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(UsageError, match=r"no baseline of 'smoke/agg-isl256-osl3-c5'.*did you mean 'smoke/agg-isl256-osl3-c4'"):
        one_ring(tmp_path, "smoke/agg-isl256-osl3-c5", None)


def test_a_name_of_two_rings_is_refused_with_both(tmp_path: Path) -> None:
    filled(tmp_path)
    write(tmp_path, replace(session(1), environment_name="elsewhere"))
    with pytest.raises(UsageError, match=r"names 2 rings.*in elsewhere.*in mocker-xeon-1a2b3c4d"):
        one_ring(tmp_path, CASE, None)
    assert one_ring(tmp_path, CASE, "else*").environment_name == "elsewhere"


def test_a_case_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    filled(tmp_path)[0].write_text("{")
    with pytest.raises(BaselineError, match="cut off"):
        one_ring(tmp_path, CASE, None)


# ---- comparing


def test_two_documents(tmp_path: Path) -> None:
    first = write(tmp_path, session(1))
    second = write(tmp_path, replace(session(2, factor=1.3, key={**KEY, "workload": "def"}), provenance={"dynamo.version": "1.5.0"}))
    found = compare_files(first, second, None)
    delta = {cell.cell: cell.delta for cell in found.verdict.cells}
    assert delta[TTFT] == pytest.approx(0.262, abs=0.001)
    assert delta[THROUGHPUT] == pytest.approx(0.262, abs=0.001), "+ is worse, whatever the direction"
    assert found.key == {"workload": ("abc", "def")}
    assert found.provenance == {"dynamo.version": ("1.4.2", "1.5.0")}


def test_a_document_and_a_session(tmp_path: Path) -> None:
    write_reports(a_report(a_result(4), a_result(16)), settings(tmp_path))
    directory = tmp_path / "reports" / "one"
    document = next(path for path in document_files(directory / "proposals") if path.parts[-2].endswith("c4"))
    for second in (directory, directory / "session.json"):
        found = compare_files(document, second, None)
        deltas = [cell.delta for cell in found.verdict.cells if cell.delta is not None]
        assert deltas == pytest.approx([0.0] * 4, abs=1e-4)
        assert found.key == {}
    with pytest.raises(UsageError, match=r"has no case 'concurrency_sweep/c4'.*it has .*-c16, "):
        compare_files(document, directory, "concurrency_sweep/c4")


@pytest.mark.parametrize(("text", "expected"), [(None, "cannot be read"), ("{", "is not JSON, or was cut off"), ("{}", "lacks schema")])
def test_what_is_no_session_is_said(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "session.json").write_text(text)
    with pytest.raises(UsageError, match=expected):
        one_session(tmp_path)


# ---- anchor and prune


def test_the_newest_becomes_the_anchor_and_another_takes_its_place(tmp_path: Path) -> None:
    paths = filled(tmp_path)
    first = set_anchor(one_ring(tmp_path, CASE, None), None)
    assert (first.document, first.before) == (paths[2], None)
    second = set_anchor(ring_of_document(tmp_path, paths[0]), paths[0])
    assert (second.document, second.before) == (paths[0], paths[2])
    assert [is_marked(path) for path in paths] == [True, False, False]


def test_a_document_outside_of_the_store_is_no_anchor(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    elsewhere = write(tmp_path / "elsewhere", session(9))
    with pytest.raises(UsageError, match="does not lie in the store"):
        ring_of_document(tmp_path / "store", elsewhere)
    with pytest.raises(UsageError, match="is not a document of"):
        set_anchor(one_ring(tmp_path / "store", CASE, None), elsewhere)


def test_pruning_deletes_what_the_ring_no_longer_uses_and_nothing_else(tmp_path: Path) -> None:
    paths = filled(tmp_path, 14)
    mark(paths[1], paths)
    other = write(tmp_path, replace(session(1), case_id="another"))
    waivers_path(tmp_path).write_text("")
    (paths[0].parent / "notes.txt").write_text("mine")
    before = set(tmp_path.rglob("*"))
    expected = (paths[0], paths[2], paths[3])
    assert prune(list_store(tmp_path), write=False) == expected
    assert set(tmp_path.rglob("*")) == before
    assert prune(list_store(tmp_path), write=True) == expected
    assert set(tmp_path.rglob("*")) == before - set(expected)
    assert prune(list_store(tmp_path), write=True) == ()
    assert other.exists()


def test_a_document_that_was_marked_meanwhile_is_kept(tmp_path: Path) -> None:
    paths = filled(tmp_path, 12)
    listing = list_store(tmp_path)
    mark(paths[0], [])
    assert prune(listing, write=True) == (paths[1],)
    assert paths[0].exists()


def test_a_case_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    paths = filled(tmp_path, 12)
    paths[5].write_text("{")
    assert prune(list_store(tmp_path), write=True) == ()
    assert all(path.exists() for path in paths)
