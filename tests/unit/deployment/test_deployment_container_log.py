"""The log of a container stays within bounds and keeps bytes as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.container_log import LogFile

if TYPE_CHECKING:
    from pathlib import Path


def test_bytes_are_kept_as_they_are(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "new" / "a.log")
    log.write(b"\xff\xfe\x00 \r\n")
    log.write(b"no end of line")

    assert (tmp_path / "new" / "a.log").read_bytes() == b"\xff\xfe\x00 \r\nno end of line", "at once, not when it is closed"
    log.close()
    log.close()
    assert (tmp_path / "new" / "a.log").read_bytes().endswith(b"line")


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_of_a_huge_log_the_beginning_and_the_end_are_kept(tmp_path: Path, step: int) -> None:
    text = b"".join(b"%06d\n" % number for number in range(1000))
    log = LogFile(tmp_path / "a.log", head_bytes=70, tail_bytes=70)
    for start in range(0, len(text), step):
        log.write(text[start : start + step])
    log.close()

    found = (tmp_path / "a.log").read_bytes()

    assert found.startswith(text[:70])
    assert found.endswith(text[-70:])
    assert found == text[:70] + b"\n[6860 bytes of this log were left out here]\n" + text[-70:]


def test_what_just_fits_is_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", head_bytes=4, tail_bytes=4)
    log.write(b"12345678")
    log.close()

    assert (tmp_path / "a.log").read_bytes() == b"12345678"


def test_a_log_goes_on_where_it_ended_and_the_bound_counts_all_of_it(tmp_path: Path) -> None:
    for number in range(3):
        log = LogFile(tmp_path / "a.log", append=number > 0, head_bytes=10, tail_bytes=2)
        log.write(b"abcdef")
        log.close()

    assert (tmp_path / "a.log").read_bytes() == b"abcdefabcdef\n[4 bytes of this log were left out here]\nef"
    LogFile(tmp_path / "a.log").close()
    assert (tmp_path / "a.log").read_bytes() == b""


def test_an_unwritable_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        LogFile(tmp_path / "file" / "a.log")
