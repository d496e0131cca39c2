"""The anchor survives what is accepted and pruned, and merges of two branches."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.anchor import is_marked, mark
from pytest_dynperf.baseline.listing import list_store
from pytest_dynperf.baseline.location import mark_path
from pytest_dynperf.baseline.store import read, write
from pytest_dynperf.errors import BaselineError
from tests.fakes.observations import KEY, TTFT, document_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.baseline.found import Found

OTHER = {**KEY, "workload": "def"}


def session(number: int, *, key: dict[str, str] = KEY, epoch: int = 0) -> Baseline:
    return document_of({TTFT: (0.05, 0.051, 0.052)}, number=number, key=key, epoch=epoch)


def found(root: Path, key: dict[str, str] = KEY) -> Found:
    return read(root, suite="smoke", case_id="agg-isl256-osl3-c4", key=key)


def test_without_a_mark_there_is_no_anchor(tmp_path: Path) -> None:
    path = write(tmp_path, session(1))
    assert found(tmp_path).anchor is None
    assert not is_marked(path)


def test_the_anchor_outlives_ring_and_epoch(tmp_path: Path) -> None:
    first = write(tmp_path, session(0))
    mark(first, [])
    for number in range(1, 15):
        write(tmp_path, session(number, epoch=number // 12))
    seen = found(tmp_path)
    assert seen.anchor == session(0)
    assert session(0) not in seen.documents


def test_it_belongs_to_its_key(tmp_path: Path) -> None:
    mark(write(tmp_path, session(1, key=OTHER)), [])
    write(tmp_path, session(2))
    assert found(tmp_path).anchor is None
    assert found(tmp_path, OTHER).anchor == session(1, key=OTHER)


def test_a_new_mark_takes_the_others_away_and_no_document_changes(tmp_path: Path) -> None:
    paths = [write(tmp_path, session(number)) for number in range(3)]
    texts = {path: path.read_bytes() for path in paths}
    mark(paths[2], paths)
    assert mark(paths[0], paths) == (mark_path(paths[2]),)
    assert found(tmp_path).anchor == session(0)
    assert [is_marked(path) for path in paths] == [True, False, False]
    assert mark(paths[0], paths) == ()
    assert {path: path.read_bytes() for path in paths} == texts


def test_of_two_marks_that_a_kill_or_a_merge_left_the_newest_document_counts(tmp_path: Path) -> None:
    for number in (1, 2):
        mark(write(tmp_path, session(number)), [])
    assert found(tmp_path).anchor == session(2)


@pytest.mark.parametrize("text", ["{", "<<<<<<< HEAD\n", "\n"])
def test_a_damaged_mark_is_an_error(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, session(1))
    mark_path(path).write_text(text)
    with pytest.raises(BaselineError, match="is not the mark of an anchor"):
        found(tmp_path)


def test_a_mark_whose_document_is_gone_is_shown_and_harms_nobody(tmp_path: Path) -> None:
    kept, gone = (write(tmp_path, session(number)) for number in (1, 2))
    mark(gone, [])
    gone.unlink()
    assert found(tmp_path).documents == (session(1),)
    assert found(tmp_path).anchor is None
    listing = list_store(tmp_path)
    assert listing.orphans == (mark_path(gone),)
    assert [entry.path for entry in listing.rings[0].entries] == [kept]


def test_a_ring_knows_what_it_no_longer_uses(tmp_path: Path) -> None:
    paths = [write(tmp_path, session(number)) for number in range(13)]
    mark(paths[1], paths)
    other = [write(tmp_path, session(number, key=OTHER)) for number in (20, 21)]
    write(tmp_path, replace(session(30), case_id="another"))
    ring, other_ring = list_store(tmp_path, "smoke/agg-*").rings
    assert [entry.path for entry in ring.unused] == [paths[0], paths[2]]
    assert ring.anchor is not None
    assert ring.anchor.path == paths[1]
    assert (other_ring.unused, other_ring.anchor) == ((), None)
    assert [entry.path for entry in other_ring.entries] == other


def test_older_epochs_are_no_longer_used(tmp_path: Path) -> None:
    paths = [write(tmp_path, session(number, epoch=epoch)) for number, epoch in ((1, 0), (2, 0), (3, 1))]
    (ring,) = list_store(tmp_path).rings
    assert [entry.path for entry in ring.unused] == paths[:2]


def test_a_folder_that_cannot_be_read_has_no_ring(tmp_path: Path) -> None:
    write(tmp_path, session(1))
    write(tmp_path, replace(session(1), case_id="broken")).write_text("{")
    listing = list_store(tmp_path)
    assert [ring.case_name for ring in listing.rings] == ["smoke/agg-isl256-osl3-c4"]
    assert len(listing.unreadable) == 1
    assert "cut off" in listing.unreadable[0]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git: none on PATH")
@pytest.mark.parametrize("theirs", [1, 2], ids=["the same document", "another document"])
def test_two_branches_that_mark_anchors_merge_without_a_conflict(tmp_path: Path, theirs: int) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    paths = [write(tmp_path / "baselines", session(number)) for number in range(3)]
    mark(paths[0], paths)
    git("add", ".")
    git("commit", "-qm", "first")
    git("checkout", "-qb", "other")
    mark(paths[theirs], paths)
    git("add", ".")
    git("commit", "-qm", "theirs")
    git("checkout", "-q", "main")
    mark(paths[1], paths)
    git("add", ".")
    git("commit", "-qm", "ours")
    git("merge", "-q", "--no-edit", "other")
    assert found(tmp_path / "baselines").anchor == session(theirs)
