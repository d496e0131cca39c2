"""Files in, files out: what is compared with, what is not, and that nothing goes away."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.codec import encode
from pytest_dynperf.baseline.found import Found, difference
from pytest_dynperf.baseline.location import document_path
from pytest_dynperf.baseline.store import read, write
from pytest_dynperf.errors import BaselineError
from tests.fakes.observations import KEY, TTFT, document_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline

OTHER = {"cpu.model": "EPYC", "workload": "abc"}
FAR = {"cpu.model": "EPYC", "workload": "def"}


def session(number: int, *, key: dict[str, str] = KEY, epoch: int = 0) -> Baseline:
    return document_of({TTFT: (0.05, 0.051, 0.052)}, number=number, key=key, epoch=epoch)


def found(root: Path, key: dict[str, str] = KEY) -> Found:
    return read(root, suite="smoke", case_id="agg-isl256-osl3-c4", key=key)


def test_path_by_hand(tmp_path: Path) -> None:
    assert write(tmp_path, session(5)) == (
        tmp_path / "mocker-xeon-1a2b3c4d" / "smoke" / "agg-isl256-osl3-c4" / "20261121T070500Z-s005.json"
    )


def test_path_stays_below_the_root(tmp_path: Path) -> None:
    wicked = replace(session(1), suite="../..", case_id="/etc", environment_name="..", session_id="../x")
    assert document_path(tmp_path, wicked).resolve().is_relative_to(tmp_path.resolve())
    assert len(document_path(tmp_path, wicked).relative_to(tmp_path).parts) == 4


def test_nothing_there(tmp_path: Path) -> None:
    assert found(tmp_path / "missing") == Found()
    assert found(tmp_path) == Found()


def test_written_is_read_oldest_first(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        write(tmp_path, session(number))
    assert found(tmp_path) == Found(documents=(session(1), session(2), session(3)))


def test_ten_newest(tmp_path: Path) -> None:
    for number in range(13):
        write(tmp_path, session(number))
    assert [document.session_id for document in found(tmp_path).documents] == [f"s{number:03d}" for number in range(3, 13)]
    assert len(list(tmp_path.rglob("*.json"))) == 13  # the ring is read, never pruned


def test_newest_epoch_alone(tmp_path: Path) -> None:
    for number, epoch in ((1, 0), (2, 1), (3, 0), (4, 1)):
        write(tmp_path, session(number, epoch=epoch))
    assert [document.session_id for document in found(tmp_path).documents] == ["s002", "s004"]


def test_other_keys_are_others(tmp_path: Path) -> None:
    write(tmp_path, session(1))
    write(tmp_path, session(2, key=OTHER, epoch=5))
    seen = found(tmp_path)
    assert [document.session_id for document in seen.documents] == ["s001"]
    assert [document.session_id for document in seen.others] == ["s002"]


def test_other_environments_are_found_and_other_cases_are_not(tmp_path: Path) -> None:
    write(tmp_path, replace(session(1, key=OTHER), environment_name="mocker-epyc"))
    write(tmp_path, replace(session(2), case_id="agg-isl256-osl3-c8"))
    write(tmp_path, replace(session(3), suite="other"))
    seen = found(tmp_path)
    assert seen.documents == ()
    assert [document.session_id for document in seen.others] == ["s001"]


def test_update_of_a_subset_deletes_nothing(tmp_path: Path) -> None:
    before = {write(tmp_path, replace(session(1), case_id=f"case-{letter}")): letter for letter in "abc"}
    texts = {path: path.read_text() for path in before}
    write(tmp_path, replace(session(2), case_id="case-a"))
    assert {path: path.read_text() for path in before} == texts
    assert len(list(tmp_path.rglob("*.json"))) == 4


def test_nothing_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path, session(1))
    assert write(tmp_path, session(1)) == path
    text = path.read_text()
    with pytest.raises(BaselineError, match="already holds"):
        write(tmp_path, document_of({TTFT: (0.06, 0.06, 0.06)}, number=1))
    assert path.read_text() == text


def test_half_written_files_are_not_seen(tmp_path: Path) -> None:
    path = write(tmp_path, session(1))
    (path.parent / f".{path.name}.tmp12").write_text("{")
    (path.parent / ".20261121T070600Z-s006.json").write_text("{")
    assert len(found(tmp_path).documents) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty"),
        (b"{", "it is cut off after 1 characters"),
        (b'{"schema": 2, "sui\xff": 1}', "is not UTF-8 text: byte 0xff at 18"),
        (b"<<<<<<< HEAD\n{}", "conflict markers of a merge"),
        (b'{"schema": 99}', "has schema 99, this version reads up to 2"),
        (b'{"schema": NaN}', "NaN is not a number"),
    ],
    ids=["empty", "half", "binary", "conflict", "newer", "nan"],
)
def test_a_bad_file_of_the_case_is_an_error(tmp_path: Path, content: bytes, expected: str) -> None:
    path = write(tmp_path, session(1))
    write(tmp_path, session(2))
    path.write_bytes(content)
    with pytest.raises(BaselineError, match=expected) as caught:
        found(tmp_path)
    assert str(path) in str(caught.value)


def test_what_is_no_directory_and_no_document_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, session(1))
    for name in ("waivers.toml", "README.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "smoke").symlink_to(path.parent.parent)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / path.parts[-3]).write_text("a file in place of a suite")
    path.with_name("notes.txt").write_text("x")
    path.with_name("20261101T000000Z-gone.anchor").write_text("")
    assert found(tmp_path).documents == (session(1),)
    assert found(tmp_path).anchor is None


def test_a_bad_file_of_another_case_is_not_ours(tmp_path: Path) -> None:
    write(tmp_path, session(1))
    write(tmp_path, replace(session(1), case_id="other")).write_text("{")
    assert len(found(tmp_path).documents) == 1


def test_a_directory_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, session(1))
    (path.parent / "20261121T080000Z-x.json").mkdir()
    with pytest.raises(BaselineError, match="cannot be read: it is a directory in place of a baseline document"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"suite": "other"}, "suite 'other', where 'smoke' lies"),
        ({"case_id": "other"}, "case 'other', where 'agg-isl256-osl3-c4' lies"),
        ({"environment_name": "other"}, "environment 'other', where 'mocker-xeon-1a2b3c4d' lies"),
        ({"session_id": "other"}, "stamp and session '20261121T070100Z-other.json'"),
        ({"stamp": "20260101T000000Z"}, "stamp and session '20260101T000000Z-s001.json'"),
    ],
)
def test_path_and_content_must_agree(tmp_path: Path, change: dict[str, str], expected: str) -> None:
    path = write(tmp_path, session(1))
    path.write_text(encode(replace(session(1), **change)))  # type: ignore[arg-type]
    with pytest.raises(BaselineError, match="it belongs to") as caught:
        found(tmp_path)
    assert expected in str(caught.value)


def test_a_copied_file_does_not_count_twice(tmp_path: Path) -> None:
    path = write(tmp_path, session(1))
    shutil.copy(path, path.with_name("20261121T090000Z-copy.json"))
    with pytest.raises(BaselineError, match="it belongs to"):
        found(tmp_path)


def test_difference_to_the_closest() -> None:
    seen = Found(others=(session(1, key=OTHER), session(2, key=FAR)))
    assert difference(seen, KEY) == {"cpu.model": ("Xeon", "EPYC")}
    assert difference(seen, {"cpu.model": "EPYC", "workload": "abc", "gpu": "H100"}) == {"gpu": ("H100", None)}
    assert difference(Found(), KEY) == {}


def test_difference_prefers_the_newest_of_equals() -> None:
    seen = Found(others=(session(1, key={**KEY, "workload": "old"}), session(2, key={**KEY, "workload": "new"})))
    assert difference(seen, KEY) == {"workload": ("abc", "new")}
