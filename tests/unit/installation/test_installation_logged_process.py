"""Processes of an installation: their output, their end, and the lock that they hold."""

from __future__ import annotations

import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.installation.logged_process import Account, duration, last_line, run_logged, tail
from pytest_dynperf.installation.pip_words import last_words, meaning, not_found
from pytest_dynperf.installation.turn import turn

if TYPE_CHECKING:
    from pathlib import Path

QUIET = Account(lambda _: None)


def test_output_goes_to_the_log_and_lines_to_the_person(tmp_path: Path) -> None:
    log, said = tmp_path / "log", list[str]()
    account = Account(said.append, iter([0.0, 65.0, 66.0]).__next__)
    assert run_logged(["/bin/sh", "-c", "echo one; echo two >&2; exit 3"], log=log, account=account, limit_s=60, forward=True) == 3
    assert said == ["[ 1:05]   one", "[ 1:06]   two"]
    assert "$ /bin/sh -c" in tail(log)
    assert last_line(log) == "two"


def test_what_was_started_ends_with_whoever_is_interrupted(tmp_path: Path) -> None:
    started: list[int] = []

    def interrupt(text: str) -> None:
        started.append(int(text.rsplit(maxsplit=1)[-1]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_logged(
            ["/bin/sh", "-c", "sleep 600 & echo $!; wait"], log=tmp_path / "log", account=Account(interrupt), limit_s=600, forward=True
        )
    (pid,) = started
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_too_long_and_not_there_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="far more than it takes; its output is in"):
        run_logged(["/bin/sleep", "600"], log=tmp_path / "log", account=QUIET, limit_s=0)
    with pytest.raises(InstallationError, match="/no/such/program cannot be started"):
        run_logged(["/no/such/program"], log=tmp_path / "log", account=QUIET, limit_s=60)


def test_a_process_holds_the_lock_that_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    with turn(path, QUIET) as descriptor:
        orphan = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    try:
        with (
            pytest.raises(InstallationError, match=rf"another installer \(process {os.getpid()}\) is at work, and holds {path}"),
            turn(path, QUIET, wait=False),
        ):
            pass
    finally:
        orphan.communicate()
    with turn(path, QUIET, wait=False):
        pass


def test_whoever_waits_for_another_installer_says_so(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = path.open("w")
    fcntl.flock(holder, fcntl.LOCK_EX)
    said: list[str] = []

    def let_go(text: str) -> None:
        said.append(text)
        holder.close()

    with turn(path, Account(let_go)):
        assert [line.rsplit("] ", maxsplit=1)[-1] for line in said] == ["another installer (process unknown) is at work; waiting for it"]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("WARNING: Retrying ... Temporary failure in name resolution\nERROR: No matching distribution found for x", "cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "no index has this version"),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("/usr/bin/python3: No module named ensurepip", "python3-venv"),
    ],
)
def test_what_pip_says_is_explained(output: str, told: str) -> None:
    assert told in (meaning(output) or "")


def test_what_is_not_known_is_not_explained() -> None:
    assert meaning("ERROR: something else") is None
    assert not not_found("ERROR: something else")
    assert last_words("\n".join(f"line {number}" for number in range(20))) == "\n".join(f"  line {number}" for number in range(14, 20))
    assert duration(3605.4) == "60:05"
