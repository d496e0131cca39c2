"""Files that have been written: secrets are taken out of them, atomically."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import RunDirectoryError
from pytest_dynperf.run_directory import redact_file
from pytest_dynperf.secret import REDACTED, secrets_of

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "s3cr3t-value-0815"
SECRETS = secrets_of([PLAIN])


@pytest.mark.parametrize("name", ["worker.log", "records.jsonl.gz"])
def test_a_file_is_redacted_in_place_with_its_permissions(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = f"line\n{PLAIN} \xff\n".encode("latin-1") * 40_000
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    path.chmod(0o640)
    assert redact_file(path, SECRETS)
    found = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    assert found == text.replace(PLAIN.encode(), REDACTED.encode())
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"
    assert not redact_file(path, SECRETS), "the second time there is nothing"


def test_a_file_without_a_secret_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("nothing\n" * 200_000)
    before = path.stat()
    assert not redact_file(path, SECRETS)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_cannot_be_replaced_is_named_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.gz"
    packed = gzip.compress(PLAIN.encode() * 1000)
    path.write_bytes(packed[:-20])
    with pytest.raises(RunDirectoryError, match=r"cannot take secrets out of .*records\.jsonl\.gz"):
        redact_file(path, SECRETS)
    assert path.read_bytes() == packed[:-20]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=os.strerror(2)):
        redact_file(tmp_path / "gone.log", SECRETS)
