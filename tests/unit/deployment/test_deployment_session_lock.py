"""Which sessions are alive, between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.session_lock import Trace, boot_id, dead_sessions, hold_session, is_alive
from pytest_dynperf.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLDER = """
import sys
from pathlib import Path
from pytest_dynperf.deployment.session_lock import Trace, hold_session
directory, session = Path(sys.argv[1]), sys.argv[2]
trace = Trace(session_id=session, boot="b", temporary=directory / f"dynperf-{session}", run_directory=directory / f"1-{session}")
lock = hold_session(trace, directory)
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""
Hold = "Callable[[str], subprocess.Popen[str]]"


def trace(directory: Path, session: str) -> Trace:
    return Trace(session_id=session, boot=boot_id(), temporary=directory / f"dynperf-{session}", run_directory=directory / f"1-{session}")


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Another process that holds a session."""
    started = []

    def begin(session: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", HOLDER, str(tmp_path), session]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_session_lives_as_long_as_its_process_and_not_as_long_as_its_file(
    tmp_path: Path, hold: Callable[[str], subprocess.Popen[str]]
) -> None:
    holder = hold("aa")
    assert is_alive("aa", tmp_path)
    with dead_sessions(tmp_path) as dead:
        assert dead == ()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_alive("aa", tmp_path)
    assert (tmp_path / "session-aa.lock").exists(), "it shows whose leftovers may be removed"
    with dead_sessions(tmp_path) as dead:
        assert [one.session_id for one in dead] == ["aa"]
        assert dead[0].temporary == tmp_path / "dynperf-aa"
    assert not (tmp_path / "session-aa.lock").exists()


def test_one_of_several_processes_is_enough(tmp_path: Path, hold: Callable[[str], subprocess.Popen[str]]) -> None:
    first, second = hold("aa"), hold("aa")
    first.kill()
    first.wait()
    assert is_alive("aa", tmp_path)
    with dead_sessions(tmp_path) as dead:
        assert dead == ()
    second.kill()
    second.wait()
    assert not is_alive("aa", tmp_path)


def test_the_last_one_in_order_removes_the_file_and_says_that_it_was_the_last(tmp_path: Path) -> None:
    first, second = hold_session(trace(tmp_path, "aa"), tmp_path), hold_session(trace(tmp_path, "aa"), tmp_path)
    assert first.release() is False
    assert (tmp_path / "session-aa.lock").exists()
    assert second.release() is True
    assert second.release() is False
    assert list(tmp_path.iterdir()) == []


def test_two_who_sweep_up_at_once_do_not_meet(tmp_path: Path, hold: Callable[[str], subprocess.Popen[str]]) -> None:
    holder = hold("aa")
    holder.kill()
    holder.wait()
    with dead_sessions(tmp_path) as first, dead_sessions(tmp_path) as second:
        assert [one.session_id for one in first] == ["aa"]
        assert second == ()


def test_a_session_without_a_file_is_nobodys(tmp_path: Path) -> None:
    assert not is_alive("bb", tmp_path)
    with dead_sessions(tmp_path / "not there") as dead:
        assert dead == ()


def test_a_file_that_was_cut_off_still_says_whose_it_is(tmp_path: Path) -> None:
    (tmp_path / "session-cc.lock").write_text('{"boot": "b", "tempo')
    with dead_sessions(tmp_path) as dead:
        assert [(one.session_id, one.run_directory) for one in dead] == [("cc", Path())]


def test_where_sweeping_up_fails_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "session-cc.lock").write_text("")
    with pytest.raises(OSError, match="the engine"), dead_sessions(tmp_path):
        raise OSError("the engine went away")
    assert (tmp_path / "session-cc.lock").exists()
    with dead_sessions(tmp_path) as dead:
        assert len(dead) == 1


def test_a_directory_that_somebody_else_has_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "leases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunDirectoryError, match="not a directory of this user"):
        hold_session(trace(tmp_path, "aa"), tmp_path / "leases")


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x")
    (tmp_path / "session-aa.lock").symlink_to(victim)
    assert not is_alive("aa", tmp_path)
    with dead_sessions(tmp_path) as dead:
        assert dead == ()
    assert victim.read_text() == "x"


def test_a_child_that_executes_another_program_does_not_keep_the_session_alive(tmp_path: Path) -> None:
    lock = hold_session(trace(tmp_path, "aa"), tmp_path)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        descriptor = lock._descriptor
        lock._descriptor = None
        assert descriptor is not None
        os.close(descriptor)  # as the kernel does when a process is killed
        assert not is_alive("aa", tmp_path)
    finally:
        child.kill()
        child.wait()
