"""A session that ends early, in whole runs of pytest: what its files say, that it can go on, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pytest_dynperf.deployment.process import new_mark
from pytest_dynperf.deployment.reaper import VARIABLE
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugin.conftest import Bench, Outcome

QUICK = Behaviour(ttft_s=0.002, itl_s=0.001)
ENDED = """
import json, os, pathlib, signal, time

def finished():
    return [case for path in pathlib.Path().glob("reports/2*/session.json") for case in json.loads(path.read_text())["cases"]]

def test_fake(perf):
    if "c2" in perf.case.case_id and not pathlib.Path("again").exists():
        while not finished():  # a controller learns of it a little later
            time.sleep(0.01)
        os.kill({whom}, signal.{number})
        {wait}
    perf.measure()
    perf.check()
"""
DEADLINE_S = 60.0
CASES = ["agg-isl64-osl8-c1", "agg-isl64-osl8-c2"]


def cut_short(bench: Bench, number: str = "SIGKILL", whom: str = "os.getpid()", wait: str = "pass") -> None:
    """The second case ends the session, until there is a file ``again``."""
    bench.write("test_fake.py", ENDED.format(number=number, whom=whom, wait=wait))


def again(bench: Bench) -> None:
    """From now on the second case measures."""
    (bench.root / "again").touch()


def newest(bench: Bench) -> dict[str, Any]:
    """``session.json`` of the newest session; ``latest`` is that of the newest that ended in order."""
    (path,) = sorted(bench.root.glob("reports/2*/session.json"))[-1:]
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def run(bench: Bench, *arguments: str, url: str) -> Outcome:
    return bench.run(*arguments, url=url)


# ---- marked from the start


def test_a_killed_session_is_incomplete_and_says_what_had_finished(bench: Bench) -> None:
    cut_short(bench)
    with sse_server(QUICK) as server:
        ended = run(bench, "--update-baselines", url=server.url)
    session = newest(bench)
    assert ended.code == -signal.SIGKILL
    assert session["complete"] is False
    assert "killed" in session["interrupted"]
    assert [case["case_id"] for case in session["cases"]] == ["agg-isl64-osl8-c1"]
    assert session["missing"] == ["fake_suite/agg-isl64-osl8-c2"]
    assert bench.baseline_files() == []


def test_a_killed_controller_leaves_the_same(bench: Bench) -> None:
    cut_short(bench, whom="os.getppid()", wait="time.sleep(60)")
    with sse_server(QUICK) as server:
        ended = run(bench, "-n", "1", url=server.url)
    session = newest(bench)
    assert ended.code == -signal.SIGKILL
    assert session["complete"] is False
    assert [case["case_id"] for case in session["cases"]] == ["agg-isl64-osl8-c1"]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_signal_ends_the_session_in_order(bench: Bench, number: str, workers: str) -> None:
    whom, wait = ("os.getppid()", "time.sleep(60)") if workers == "1" else ("os.getpid()", "pass")
    cut_short(bench, number, whom, wait)
    with sse_server(QUICK) as server:
        ended = run(bench, "-n", workers, "--update-baselines", url=server.url)
    assert ended.code == 2, ended.text
    assert ended.session["complete"] is False
    assert ended.session["interrupted"]
    assert "killed" not in ended.session["interrupted"], "it had the time to say what it was"
    assert [case["case_id"] for case in ended.session["cases"]] == ["agg-isl64-osl8-c1"]
    assert bench.baseline_files() == []
    assert list((bench.root / "tmp").glob("dynperf-*")) == []


def test_a_signal_to_an_xdist_worker_alone(bench: Bench) -> None:
    cut_short(bench, "SIGTERM")
    with sse_server(QUICK) as server:
        ended = run(bench, "-n", "1", url=server.url)
    assert ended.code == 2, ended.text
    assert ended.session["complete"] is False
    assert ended.session["missing"] == ["fake_suite/agg-isl64-osl8-c2"]


def test_a_session_without_anything_to_measure_leaves_no_session(bench: Bench) -> None:
    bench.write("test_fake.py", "import pytest\ndef test_fake(perf):\n    pytest.skip('no need')\n")
    with sse_server(QUICK) as server:
        ended = run(bench, url=server.url)
    assert ended.code == 0, ended.text
    assert list(bench.root.glob("reports/2*/session.json")) == []


def test_where_the_disk_is_full_the_session_stays_incomplete(bench: Bench) -> None:
    bench.write(
        "test_fake.py",
        "import os, pathlib, errno\n"
        "import pytest_dynperf.run_directory as files\n"
        "def full(*_, **__):\n"
        "    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "def test_fake(perf):\n"
        "    perf.measure()\n"
        "    perf.check()\n"
        "    if 'c2' in perf.case.case_id:\n"
        "        files.tempfile.mkstemp = full\n",
    )
    with sse_server(QUICK) as server:
        ended = run(bench, "--update-baselines", url=server.url)
    assert ended.code == 1, ended.text
    assert "No space left on device" in ended.text
    assert newest(bench)["complete"] is False
    assert bench.baseline_files() == []


# ---- going on


@pytest.mark.parametrize(("first", "second"), [("0", "0"), ("1", "1"), ("0", "2")])
def test_a_session_that_was_cut_short_goes_on(bench: Bench, first: str, second: str) -> None:
    cut_short(bench, "SIGTERM" if first == "1" else "SIGKILL")
    with sse_server(QUICK) as server:
        run(bench, "-n", first, url=server.url)
        before = newest(bench)
        server.requests.clear()
        again(bench)
        ended = run(bench, "-n", second, "--dynperf-resume", url=server.url)
        asked = len(server.requests)
    assert ended.code == 0, ended.text
    after = ended.session
    assert (after["session_id"], after["seed"], after["stamp"]) == (before["session_id"], before["seed"], before["stamp"])
    assert after["complete"] is True
    assert after["interrupted"] is None
    assert [case["case_id"] for case in after["cases"]] == CASES
    assert [case["part"] for case in after["cases"]] == [1, 2]
    assert after["cases"][0] == before["cases"][0], "what was measured before stands as it was"
    assert len(after["resumed"]) == 1
    assert "1 of 2 cases were measured before" in ended.text
    assert "went on at" in ended.text
    assert asked < 200, "a case has 90 requests, warm-up left out: the first one was not asked again"
    assert len(list(bench.root.glob("reports/2*"))) == 1
    assert ended.text.count("passed") == 1


def test_a_case_that_failed_before_fails_again(bench: Bench) -> None:
    cut_short(bench)
    with sse_server(QUICK) as server:
        run(bench, "--dynperf-strict", url=server.url)
        again(bench)
        ended = run(bench, "--dynperf-strict", "--dynperf-resume", url=server.url)
    assert ended.code == 1, ended.text
    assert "2 failed" in ended.text
    assert [(case["part"], case["verdict"]["outcome"]) for case in ended.session["cases"]] == [(1, "no baseline"), (2, "no baseline")]


def test_it_must_be_the_same_question(bench: Bench) -> None:
    cut_short(bench)
    with sse_server(QUICK) as server:
        run(bench, url=server.url)
        before = newest(bench)
        again(bench)
        for arguments, says in (
            (["--dynperf-set=traffic.osl=9"], "--dynperf-set was not set, is traffic.osl=9"),
            (["--dynperf-seed=1"], "leave it out"),
            (["-k", "c2"], "lacks fake_suite/agg-isl64-osl8-c1"),
        ):
            name = f"--dynperf-resume={before['session_id']}"
            ended = run(bench, name, *arguments, url=server.url)
            assert ended.code == 4, ended.text
            assert says in ended.text
    assert newest(bench) == before, "a refused session is left as it was"


def test_paths_after_the_option_are_paths(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        arguments = [f"--dynperf-endpoint={server.url}", "--dynperf-model=fake", "-p", "no:cacheprovider"]
        result = bench.pytester.runpytest_subprocess(*arguments, "--dynperf-resume", "fake_suite", timeout=DEADLINE_S)
    result.stderr.fnmatch_lines(["*holds no incomplete session of *fake_suite*"])
    assert result.ret == 4


def test_a_complete_session_does_not_go_on(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        done = run(bench, url=server.url)
        ended = run(bench, f"--dynperf-resume={done.session['session_id']}", url=server.url)
    assert ended.code == 4
    assert "is complete, nothing is missing" in ended.text


# ---- swept up


@pytest.fixture
def orphan() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """A service of a session, in a process session of its own, of which nobody knows."""
    started = []

    def begin(session: str) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], VARIABLE: new_mark(session)}
        started.append(
            subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], env=environment, start_new_session=True)
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_temporary_files_go_with_a_controller_that_is_killed_while_it_says_what_it_found(bench: Bench) -> None:
    """Nothing is deployed any more, and xdist workers have ended: whoever watched over those has gone."""
    bench.write(
        "conftest.py",
        "import os, pathlib, signal, tempfile\n"
        "def pytest_terminal_summary():\n"
        "    found = [str(path) for path in pathlib.Path(tempfile.gettempdir()).glob('dynperf-*')]\n"
        "    pathlib.Path('seen').write_text(' '.join(found))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    with sse_server(QUICK) as server:
        ended = run(bench, "-n", "2", url=server.url)
    assert ended.code == -signal.SIGKILL, ended.text
    assert "dynperf-" in (bench.root / "seen").read_text(), "there was nothing to remove"
    deadline = time.monotonic() + 10
    while left := list((bench.root / "tmp").glob("dynperf-*")):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_next_session_removes_what_a_killed_one_left(
    bench: Bench, workers: str, orphan: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    cut_short(bench)
    with sse_server(QUICK) as server:
        run(bench, "-n", "0", url=server.url)
        session = newest(bench)["session_id"]
        (directory,) = bench.root.glob("reports/2*")
        (directory / "deployments" / "01-x" / "state").mkdir(parents=True)
        (bench.root / "tmp" / f"dynperf-{session}").mkdir(exist_ok=True)
        lost, foreign = orphan(session), orphan("ffffffff")
        again(bench)
        ended = run(bench, "-n", workers, url=server.url)
    assert ended.code == 0, ended.text
    assert lost.wait(DEADLINE_S) == -signal.SIGKILL
    assert foreign.poll() is None
    assert "swept up after 1 dead session: 1 process, 2 directories" in ended.text
    assert list((bench.root / "tmp").glob("dynperf-*")) == []
    assert list((bench.root / "tmp" / "leases").glob("session-*")) == []


def test_two_sessions_at_once_leave_each_other_alone(bench: Bench) -> None:
    bench.write(
        "test_fake.py",
        "import pathlib, subprocess, sys, time\n"
        "def test_fake(perf):\n"
        "    perf.measure()\n"
        "    perf.check()\n"
        "    if 'c2' in perf.case.case_id and not pathlib.Path('inner').exists():\n"
        "        pathlib.Path('inner').touch()\n"
        "        again = [sys.executable, '-m', 'pytest', *sys.argv[1:]]\n"
        "        done = subprocess.run(again, capture_output=True, text=True)\n"
        "        assert 'swept' not in done.stdout, done.stdout\n"
        "        assert 'being measured' in done.stdout + done.stderr, done.stdout\n",
    )
    with sse_server(QUICK) as server:
        ended = run(bench, url=server.url)
    assert ended.code == 0, ended.text
    assert ended.session["complete"] is True


# ---- an xdist worker whose controller is gone


def test_an_xdist_worker_notices_that_its_controller_is_gone(bench: Bench) -> None:
    """It would measure on for 5 s, until execnet loses its patience, and is told at once."""
    bench.write(
        "test_fake.py",
        "import os, pathlib, signal, time\n"
        "def test_fake(perf):\n"
        "    try:\n"
        "        pathlib.Path('worker').write_text(str(os.getpid()))\n"
        "        os.kill(os.getppid(), signal.SIGKILL)\n"
        "        time.sleep(600)\n"
        "    except KeyboardInterrupt as error:\n"
        "        pathlib.Path('why').write_text(str(error))\n"
        "        raise\n",
    )
    with sse_server(QUICK) as server:
        run(bench, "-n", "1", url=server.url)
    worker = int((bench.root / "worker").read_text())
    deadline = time.monotonic() + DEADLINE_S
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the xdist worker still lives"
        time.sleep(0.05)
    assert (bench.root / "why").read_text() == "SIGTERM", "execnet's own way would be SIGINT"
    assert list((bench.root / "tmp").glob("dynperf-*")) == []


# ---- a case that does not end


def test_a_case_that_takes_too_long_is_invalid_and_the_next_goes_on(bench: Bench) -> None:
    slow = "import pytest_dynperf.session.conduct as conduct\n"
    bench.write("test_fake.py", slow + "def test_fake(perf):\n    perf.measure()\n    perf.check()\n")
    with sse_server(Behaviour(ttft_s=0.002, itl_s=0.05)) as server:
        ended = run(bench, "--dynperf-case-timeout=2", url=server.url)
    assert ended.code == 1, ended.text
    assert set(ended.outcomes()) == set(CASES)
    assert ended.session["complete"] is True
    assert ended.outcomes()["agg-isl64-osl8-c1"] == "invalid"
    (first,) = (case for case in ended.session["cases"] if case["case_id"].endswith("c1"))
    assert "when they were over it was in run 1 of 3" in " ".join(first["verdict"]["reasons"])


def test_a_timeout_that_is_no_number(bench: Bench) -> None:
    ended = bench.run("--dynperf-case-timeout=soon")
    assert "'soon' is not a number of seconds" in ended.text
    assert ended.code == 4


def test_an_interrupt_between_two_cases_is_not_lost(bench: Bench, tmp_path: Path) -> None:
    """While one deployment is stopped for the next, signals wait."""
    from pytest_dynperf.plugin import interruption

    done: list[str] = []

    def stopping() -> None:
        with interruption.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("to its end")

    with pytest.raises(KeyboardInterrupt):
        stopping()
    assert done == ["to its end"]


def test_an_interrupt_at_the_very_end_has_no_effect() -> None:
    from pytest_dynperf.plugin import interruption

    before = signal.getsignal(signal.SIGINT)
    with interruption.ignored():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


LOST = """
import os, signal, time

class Lost:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):  # the interrupt strikes here, and Python drops it
            pass

def test_fake(perf):
    Lost()
    time.sleep(600)
"""


@pytest.mark.filterwarnings("default")
def test_an_interrupt_that_python_drops_is_said_again(bench: Bench) -> None:
    bench.write("test_fake.py", LOST)
    with sse_server(QUICK) as server:
        ended = run(bench, url=server.url)
    assert ended.code == 2, ended.text
    assert ended.session["interrupted"] == "SIGTERM"
