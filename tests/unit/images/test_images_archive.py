"""The archive: what is asked for lies in it, the same bytes every time."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.images.archive import Entry, write_archive

if TYPE_CHECKING:
    from pathlib import Path


def archive(*entries: Entry) -> tarfile.TarFile:
    out = io.BytesIO()
    write_archive(entries, out)
    out.seek(0)
    return tarfile.open(fileobj=out)


def test_each_kind_of_entry(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("content")
    source.chmod(0o700)
    os.utime(source, (1_700_000_000, 1_700_000_000.9))
    long = "/opt/" + "x" * 120

    with archive(
        Entry(path="/bin/program", source=source),
        Entry(path="/etc/passwd", text="root:x:0:0\n"),
        Entry(path="/bin/link", link="/bin/program"),
        Entry(path="/home/user", owner=1000),
        Entry(path="/tmp", mode=0o1777),
        Entry(path=long, text=""),
    ) as tar:
        members = {member.name: member for member in tar}
        passwd = tar.extractfile("etc/passwd")
        assert passwd is not None
        assert passwd.read() == b"root:x:0:0\n"

    assert list(members) == ["bin", "bin/link", "bin/program", "etc", "etc/passwd", "home", "home/user", "opt", long[1:], "tmp"]
    program = members["bin/program"]
    assert (program.mode, program.size, program.mtime, program.uid) == (0o755, 7, 1_700_000_000, 0), "readable by all, as old as its source"
    assert members["bin/link"].linkname == "/bin/program"
    assert (members["home/user"].isdir(), members["home/user"].uid, members["home/user"].gid) == (True, 1000, 1000)
    assert (members["home"].mode, members["home"].uid) == (0o755, 0)
    assert members["tmp"].mode == 0o1777


def test_the_order_in_which_entries_come_changes_nothing() -> None:
    entries = [Entry(path="/b", text="b"), Entry(path="/a/c", text="c"), Entry(path="/a", mode=0o700)]
    first, second = io.BytesIO(), io.BytesIO()

    assert write_archive(entries, first) == write_archive(reversed(entries), second) == 2
    assert first.getvalue() == second.getvalue()


def test_a_path_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold /a twice"):
        archive(Entry(path="/a", text="1"), Entry(path="/b"), Entry(path="/a", text="2"))


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ValueError, match="b is not an absolute path"):
        archive(Entry(path="b", text="1"))
