"""Records on their way to disk: packed when a run ends, plain where it was cut off, and read under either name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dynperf.errors import RunDirectoryError, UsageError
from pytest_dynperf.observation.record_file import encode, read_records, records_at, run_of
from pytest_dynperf.observation.record_file_writing import pack, record_file, write_records
from tests.fakes.observations import record

RECORDS = [record(index) for index in range(200)]
KILLED = """
import os, signal, sys
from pathlib import Path
from pytest_dynperf.observation.record_file_writing import record_file
from tests.fakes.observations import record
with record_file(Path(sys.argv[1])) as sink:
    for index in range(5):
        sink(record(index))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_ends_is_packed_and_takes_a_fraction_of_the_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run-1.jsonl.gz"
    write_records(path, RECORDS)
    assert list(path.parent.iterdir()) == [path], "no plain file and no temporary one is left"
    assert list(read_records(path)) == RECORDS
    assert path.stat().st_size < sum(len(encode(one)) for one in RECORDS) / 3
    again = tmp_path / "again.jsonl.gz"
    write_records(again, RECORDS)
    assert again.read_bytes() == path.read_bytes(), "no time and no name is in it"


def test_without_the_ending_it_stays_plain(tmp_path: Path) -> None:
    path = tmp_path / "run-1.jsonl"
    write_records(path, RECORDS)
    assert path.read_bytes() == b"".join(map(encode, RECORDS))


def test_a_run_that_raises_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "run-1.jsonl.gz"

    def cut_short() -> None:
        with record_file(path) as sink:
            sink(RECORDS[0])
            assert list(read_records(path)) == RECORDS[:1], "found while it is written"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert list(read_records(path)) == RECORDS[:1]


def test_a_run_that_is_killed_leaves_lines_that_are_read_under_the_packed_name(tmp_path: Path) -> None:
    path = tmp_path / "run-1.jsonl.gz"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    assert list(read_records(path)) == RECORDS[:5]
    assert records_at(path) == tmp_path / "run-1.jsonl"


def test_a_run_that_is_made_again_replaces_both_files(tmp_path: Path) -> None:
    path = tmp_path / "run-1.jsonl.gz"
    write_records(path, RECORDS)
    with record_file(path) as sink:
        sink(RECORDS[7])
        assert list(read_records(path)) == [RECORDS[7]], "not the packed lines of before"
    assert list(read_records(path)) == [RECORDS[7]]


def test_the_plain_name_of_older_sessions_finds_the_packed_file(tmp_path: Path) -> None:
    write_records(tmp_path / "run-1.jsonl.gz", RECORDS)
    assert list(read_records(tmp_path / "run-1.jsonl")) == RECORDS


def test_a_file_that_is_cut_off_or_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run-1.jsonl.gz"
    write_records(path, RECORDS)
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[:100] + b"\xff" * 40 + whole[140:], b"no gzip"):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match=r"run-1\.jsonl\.gz"):
            list(read_records(path))


def test_where_it_cannot_be_packed_the_lines_stay(tmp_path: Path) -> None:
    plain = tmp_path / "run-1.jsonl"
    plain.write_bytes(encode(RECORDS[0]))
    with pytest.raises(RunDirectoryError, match=r"cannot write request records to .*there/run-1\.jsonl\.gz"):
        pack(plain, tmp_path / "there" / "run-1.jsonl.gz")
    assert list(read_records(plain)) == RECORDS[:1]


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="cannot write request records to"), record_file(tmp_path / "file" / "run-1.jsonl.gz"):
        raise AssertionError


@pytest.mark.parametrize("name", ["records/s/c/run-1.jsonl", "records/s/c/run-1.jsonl.gz", "run-1.jsonl.gz", "run-1"])
def test_the_run_of_a_file(name: str) -> None:
    assert run_of(name) == "run-1"
