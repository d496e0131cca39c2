"""Leases between real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment import lease
from pytest_dynperf.deployment.lease import acquire_host, default_directory
from pytest_dynperf.errors import DeploymentError, LeaseHeld

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import sys
from pathlib import Path
from pytest_dynperf.deployment import lease
from pytest_dynperf.deployment.lease import acquire_host
lease = acquire_host(sys.argv[2], directory=Path(sys.argv[1]), wait_s=float(sys.argv[3]), describe="pytest in /somewhere")
print("held", flush=True)
sys.stdin.readline()
lease.release()
print("released", flush=True)
sys.stdin.readline()
"""


class Other:
    """Another process that asks for the lease."""

    def __init__(self, directory: Path, session_id: str, wait_s: float = 0.0) -> None:
        argv = [sys.executable, "-c", HOLDER, str(directory), session_id, str(wait_s)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def other(directory: Path) -> Iterator[Other]:
    process = Other(directory, "session-a")
    assert process.line() == "held"
    yield process
    process.close()


def test_held_by_another_session_is_an_error_that_says_who_and_what_to_do(directory: Path, other: Other) -> None:
    with pytest.raises(LeaseHeld) as caught:
        acquire_host("session-b", directory=directory, describe="me")

    text = str(caught.value)
    assert f"process {other.process.pid} since 2" in text
    assert "pytest in /somewhere" in text
    assert "--dynperf-lease-wait" in text


def test_waits_as_long_as_it_is_told(directory: Path, other: Other) -> None:
    began = time.monotonic()

    with pytest.raises(LeaseHeld):
        acquire_host("session-b", directory=directory, wait_s=0.5, describe="me")

    assert time.monotonic() - began >= 0.5


def test_gets_it_when_the_holder_releases(directory: Path, other: Other) -> None:
    threading.Timer(0.3, other.go_on).start()

    with acquire_host("session-b", directory=directory, wait_s=60, describe="me"):
        assert other.line() == "released"


def test_same_session_waits_without_being_told(directory: Path, other: Other) -> None:
    threading.Timer(0.3, other.go_on).start()

    with acquire_host("session-a", directory=directory, wait_s=0, describe="me"):
        assert other.line() == "released"


def test_same_session_waits_not_for_ever(directory: Path, other: Other) -> None:
    with pytest.raises(LeaseHeld):
        acquire_host("session-a", directory=directory, describe="me", same_session_wait_s=0.3)


def test_the_same_process_does_not_wait_for_itself(directory: Path) -> None:
    with acquire_host("session-a", directory=directory, describe="me"), pytest.raises(LeaseHeld):
        acquire_host("session-a", directory=directory, describe="me")


def test_free_after_sigkill(directory: Path, other: Other) -> None:
    other.process.kill()
    other.process.wait()

    acquire_host("session-b", directory=directory, describe="me").release()


def test_one_of_many_gets_it(directory: Path) -> None:
    others = [Other(directory, f"session-{index}") for index in range(5)]
    try:
        lines = sorted(process.line() for process in others)
    finally:
        for process in others:
            process.close()

    assert lines == ["", "", "", "", "held"]


def test_the_file_says_who_holds_it_until_it_is_released(directory: Path) -> None:
    held = acquire_host("session-a", directory=directory, describe="what I do")
    facts = json.loads((directory / "host.lock").read_text())
    held.release()
    held.release()

    assert set(facts) == {"session_id", "pid", "started", "what"}
    assert (facts["session_id"], facts["pid"], facts["what"]) == ("session-a", os.getpid(), "what I do")
    assert (directory / "host.lock").read_text() == ""


@pytest.mark.parametrize(
    "content", [b"", b"{torn", b"\xff\xfe", b"[]", b'{"pid": "x"}', b'{"session_id":"s","pid":999999999,"started":"x","what":"y"}']
)
def test_a_lock_file_that_says_nothing_sensible(directory: Path, other: Other, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_SETTLE_S", 0.2)
    (directory / "host.lock").write_bytes(content)

    with pytest.raises(LeaseHeld, match=r"somebody who does not say|left over from process 999999999"):
        acquire_host("session-b", directory=directory, describe="me")


def test_directory_is_private(directory: Path) -> None:
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)

    acquire_host("s", directory=directory, describe="me").release()

    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "host.lock").stat().st_mode & 0o777 == 0o600


def test_symbolic_link_is_refused(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    directory.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DeploymentError, match=r"a symbolic link.*set DYNPERF_LEASE_DIRECTORY"):
        acquire_host("s", directory=directory, describe="me")


def test_linked_lock_file_is_refused(tmp_path: Path, directory: Path) -> None:
    directory.mkdir()
    (tmp_path / "precious").write_text("precious")
    (directory / "host.lock").symlink_to(tmp_path / "precious")

    with pytest.raises(DeploymentError, match="cannot use"):
        acquire_host("s", directory=directory, describe="me")
    assert (tmp_path / "precious").read_text() == "precious"


def test_directory_of_somebody_else_is_refused(directory: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to give a directory away")
    directory.mkdir()
    os.chown(directory, 65534, 65534)

    with pytest.raises(DeploymentError, match="owned by uid 65534"):
        acquire_host("s", directory=directory, describe="me")


def test_a_file_in_its_place_is_refused(directory: Path) -> None:
    directory.write_text("")

    with pytest.raises(DeploymentError, match="not a directory"):
        acquire_host("s", directory=directory, describe="me")


def test_a_program_started_meanwhile_does_not_hold_it(directory: Path) -> None:
    held = acquire_host("s", directory=directory, describe="me")
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False) as program:
        held.release()

        acquire_host("another", directory=directory, describe="me").release()
        program.communicate()


def test_default_directory_is_this_user_s_and_not_below_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("DYNPERF_LEASE_DIRECTORY", raising=False)
    assert default_directory() == Path(f"/tmp/dynperf-leases-{os.getuid()}")
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(tmp_path / "own"))
    assert default_directory() == tmp_path / "own"
