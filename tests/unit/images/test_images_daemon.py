"""An engine for the time of a command: used when it runs, started when it does not, stopped by who started it, never doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.images import daemon
from tests.images.daemon import DaemonError, Place, ask, engine, running_pid

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
STAND_IN = (sys.executable, str(ROOT / "tests/fakes/container_engine.py"))


@dataclass(frozen=True)
class Bench:
    """A place for a stand-in, and the command line that looks for it there."""

    directory: Path

    def place(self, mode: str = "good", **changes: object) -> Place:
        names = {"socket": "s", "pid_file": "pid", "log": "log"}
        fields: dict[str, object] = {name: str(self.directory / file) for name, file in names.items()}
        return Place(**(fields | {"dockerd": (*STAND_IN, mode), "may_install": False} | changes))  # type: ignore[arg-type]

    def argv(self, mode: str, *command: str) -> list[str]:
        place = self.place(mode)
        options = ["--socket", place.socket, "--pid-file", place.pid_file, "--log", place.log, "--no-install"]
        words = [word for part in place.dockerd for word in ("--dockerd", part)]
        return [sys.executable, str(ROOT / "tests/images/daemon.py"), *options, *words, *command]

    def run(self, mode: str, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(mode, *command), capture_output=True, text=True, check=False, timeout=60, env=without_docker_host())


def without_docker_host() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("DOCKER_HOST", "CI")}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    bench = Bench(tmp_path)
    yield bench
    assert running_pid(bench.place()) is None, "an engine is left"


@pytest.fixture
def another(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """An engine that somebody else started."""
    with subprocess.Popen([*STAND_IN, "good", "--host", f"unix://{bench.place().socket}", "--pidfile", bench.place().pid_file]) as process:
        while ask(bench.place(), "/_ping") is None:
            assert process.poll() is None
        yield process
        process.terminate()


def test_started_told_and_stopped(bench: Bench) -> None:
    asks = "import sys; sys.path.insert(0, sys.argv[1]); from tests.images.daemon import *; print(ask(Place(sys.argv[2]), '/_ping'))"

    done = bench.run("good", sys.executable, "-c", asks, str(ROOT), bench.place().socket)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("container engine: started after ")
    assert "version 0.0, storage driver made-up, cgroup version unknown" in done.stdout
    assert "b'OK'" in done.stdout
    assert done.stdout.splitlines()[-1] == "container engine: stopped"


def test_the_command_s_status_is_ours_and_the_engine_stops_all_the_same(bench: Bench) -> None:
    done = bench.run("good", sys.executable, "-c", "import os, sys; sys.exit(7 if os.environ['CI'] == 'true' else 0)")

    assert done.returncode == 7
    assert "stopped" in done.stdout


def test_a_command_that_does_not_exist_leaves_no_engine(bench: Bench) -> None:
    assert bench.run("good", "/no/such/command").returncode != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_then_the_engine_stops(bench: Bench, number: signal.Signals) -> None:
    child = "import signal; print('here', flush=True); signal.pause()"
    with subprocess.Popen(
        bench.argv("good", sys.executable, "-c", child), stdout=subprocess.PIPE, text=True, env=without_docker_host()
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "here":
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == 128 + number


def test_a_signal_before_the_command_begins_stops_the_engine(bench: Bench) -> None:
    with subprocess.Popen(bench.argv("silent", "true"), env=without_docker_host()) as process:
        while running_pid(bench.place()) is None:
            assert process.poll() is None
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM


def test_one_that_runs_is_used_and_left_alone(bench: Bench, another: subprocess.Popen[bytes]) -> None:
    said: list[str] = []
    with engine(bench.place("broken"), said.append):
        assert ask(bench.place(), "/_ping") == b"OK"

    assert said == ["container engine: one is running (version 0.0, storage driver made-up, cgroup version unknown, directory unknown)"]
    assert another.poll() is None


def test_one_that_is_named_is_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    said: list[str] = []
    with engine(bench.place("broken"), said.append):
        pass
    assert said == ["container engine: the one that DOCKER_HOST names, tcp://127.0.0.1:1"]


def test_no_second_one_beside_one_that_does_not_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "START_DEADLINE_S", 0.3)
    Path(bench.place().pid_file).write_text(str(os.getpid()))
    try:
        with (
            pytest.raises(DaemonError, match=rf"process {os.getpid()}, which .*pid names, runs and does not answer"),
            engine(bench.place()),
        ):
            pass
    finally:
        Path(bench.place().pid_file).unlink()
    assert not Path(bench.place().log).exists(), "none was started"


def test_a_pid_file_of_the_dead_is_no_engine(bench: Bench) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    Path(bench.place().pid_file).write_text(str(ended.pid))
    said: list[str] = []
    with engine(bench.place(), said.append):
        assert ask(bench.place(), "/_ping") == b"OK"
    assert said[-1] == "container engine: stopped"


def test_one_that_cannot_start_is_an_error_with_its_words(bench: Bench) -> None:
    done = bench.run("broken", "true")

    assert done.returncode == 125
    assert "ended with exit status 1" in done.stderr
    assert "Devices cgroup isn't mounted" in done.stderr


def test_one_that_never_answers_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "START_DEADLINE_S", 2.0)
    with pytest.raises(DaemonError, match="does not answer after 2 s"), engine(bench.place("silent")):
        pass


def test_without_one_and_without_leave_to_install(bench: Bench) -> None:
    place = bench.place(dockerd=("no-such-engine",))
    with pytest.raises(DaemonError, match=r"no-such-engine is not installed, and this user cannot install docker.io and"), engine(place):
        pass


def test_a_command_is_needed(bench: Bench) -> None:
    done = bench.run("good")
    assert done.returncode == 2
    assert "a command is needed" in done.stderr
