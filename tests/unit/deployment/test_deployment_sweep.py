"""What dead sessions leave is removed, and nothing else, with real processes and directories; the engine is a table here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.process import new_mark
from pytest_dynperf.deployment.reaper import VARIABLE
from pytest_dynperf.deployment.session_lock import Trace, boot_id, hold_session
from pytest_dynperf.deployment.sweep import LABELS, PATIENCE_S, Swept, marked_processes, remove_state, sweep, swept_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NAP = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\n{NAP}"


@pytest.fixture
def service() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A process that carries the mark of a session, in a process session of its own."""
    started = []

    def begin(session: str, code: str = NAP) -> subprocess.Popen[str]:
        environment = {"PATH": os.environ["PATH"], VARIABLE: new_mark(session)}
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@dataclass
class Table:
    """An engine whose containers and networks are these; ``gone`` fails every call."""

    held: dict[str, Mapping[str, str]] = field(default_factory=dict)
    nets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    gone: bool = False

    def containers(self) -> Mapping[str, Mapping[str, str]]:
        if self.gone:
            raise OSError("the engine went away")
        return dict(self.held)

    def networks(self) -> Mapping[str, Mapping[str, str]]:
        return dict(self.nets)

    def remove_container(self, container: str) -> None:
        del self.held[container]

    def remove_network(self, network: str) -> None:
        assert not self.held, "a network with a container in it cannot be removed"
        del self.nets[network]


def labels(session: str, boot: str | None = None) -> dict[str, str]:
    return dict(zip(LABELS, (session, new_mark(session), boot_id() if boot is None else boot), strict=True))


def die(leases: Path, session: str, *, temporary: Path, run: Path) -> None:
    """What a session of which no process lives leaves in the lease directory."""
    leases.mkdir(exist_ok=True)
    leases.chmod(0o700)
    facts = {"boot": boot_id(), "temporary": str(temporary), "run_directory": str(run)}
    (leases / f"session-{session}.lock").write_text(json.dumps(facts))


def trace(root: Path, session: str) -> Trace:
    return Trace(session_id=session, boot=boot_id(), temporary=root / f"dynperf-{session}", run_directory=root / f"1-{session}")


def test_processes_of_a_dead_session_end_and_those_of_others_do_not(tmp_path: Path, service: Callable[..., subprocess.Popen[str]]) -> None:
    leases = tmp_path / "leases"
    lost, deaf, living, unknown, none = service("dead"), service("dead", DEAF), service("alive"), service("elsewhere"), service("")
    die(leases, "dead", temporary=tmp_path, run=tmp_path)
    lock = hold_session(trace(tmp_path, "alive"), leases)
    try:
        swept = sweep(leases, None)
    finally:
        lock.release()
    assert [lost.wait(PATIENCE_S), deaf.wait(PATIENCE_S)] == [-signal.SIGKILL] * 2
    assert [process.poll() for process in (living, unknown, none)] == [None] * 3
    assert (swept.sessions, swept.processes, swept.left) == (1, 2, ())
    assert not (leases / "session-dead.lock").exists()
    assert sweep(leases, None) == Swept(), "the second time there is nothing"


def test_children_that_left_the_group_are_found_by_their_mark(tmp_path: Path, service: Callable[..., subprocess.Popen[str]]) -> None:
    fork = "import os, time\nif os.fork() == 0:\n    os.setsid(); print('up', flush=True); time.sleep(600)\nos.wait()"
    parent = service("dead", fork)
    die(tmp_path / "leases", "dead", temporary=tmp_path, run=tmp_path)
    swept = sweep(tmp_path / "leases", None)
    assert parent.wait(PATIENCE_S) == -signal.SIGKILL
    assert swept.processes == 2
    assert "dead" not in marked_processes().values()


def test_children_that_lost_their_mark_are_found_by_who_leads_them(tmp_path: Path, service: Callable[..., subprocess.Popen[str]]) -> None:
    nap = "import time; print('up', flush=True); time.sleep(600)"
    child = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {nap!r}], env={{}})\ntime.sleep(600)"
    parent = service("dead", child)
    die(tmp_path / "leases", "dead", temporary=tmp_path, run=tmp_path)
    swept = sweep(tmp_path / "leases", None)
    assert parent.wait(PATIENCE_S) == -signal.SIGKILL
    assert swept.processes == 2


def test_containers_of_the_dead_and_of_another_boot_go_and_foreign_ones_stay(tmp_path: Path) -> None:
    leases = tmp_path / "leases"
    die(leases, "dead", temporary=tmp_path, run=tmp_path)
    lock = hold_session(trace(tmp_path, "alive"), leases)
    foreign = {LABELS[0]: "dead", "org.pytest-dynperf.note": "somebody else's"}
    held = {
        "dead": labels("dead"),
        "alive": labels("alive"),
        "unknown": labels("unknown"),
        "before the boot": labels("long-ago".replace("-", ""), boot="another"),
        "foreign": foreign,
        "no session": labels("../../x", boot="another"),
    }
    engine = Table(held=dict(held), nets={})
    try:
        swept = sweep(leases, engine)
    finally:
        lock.release()
    assert set(engine.held) == {"alive", "unknown", "foreign", "no session"}
    assert swept.containers == 2


def test_networks_go_after_their_containers(tmp_path: Path) -> None:
    die(tmp_path / "leases", "dead", temporary=tmp_path, run=tmp_path)
    engine = Table(held={"c": labels("dead")}, nets={"n": labels("dead")})
    swept = sweep(tmp_path / "leases", engine)
    assert (swept.containers, swept.networks) == (1, 1)
    assert engine.nets == {}


def test_an_engine_that_goes_away_keeps_nobody_from_measuring(tmp_path: Path) -> None:
    assert sweep(tmp_path, Table(gone=True)) == Swept()


def test_where_this_boot_is_not_known_another_boot_proves_nothing(tmp_path: Path) -> None:
    engine = Table(held={"c": labels("unknown", boot="another")})
    assert sweep(tmp_path, engine, boot="") == Swept()
    assert "c" in engine.held


def test_directories_of_a_dead_session_go_by_their_names_alone(tmp_path: Path) -> None:
    temporary, run = tmp_path / "dynperf-dead", tmp_path / "reports" / "20260101T000000Z-dead"
    (temporary / "dynperf-load-x").mkdir(parents=True)
    (run / "deployments" / "01-a" / "state" / "etcd").mkdir(parents=True)
    kept = [run / "session.json", run / "deployments" / "01-a" / "etcd.log", run / "records" / "s" / "c" / "run-1.jsonl"]
    for path in (*kept, run / ".session.json.abc"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    die(tmp_path / "leases", "dead", temporary=temporary, run=run)
    swept = sweep(tmp_path / "leases", None)
    assert swept.directories == 2
    assert not temporary.exists()
    assert not (run / "deployments" / "01-a" / "state").exists()
    assert not (run / ".session.json.abc").exists()
    assert all(path.is_file() for path in kept)


@pytest.mark.parametrize("name", ["dynperf-other", "precious"])
def test_a_directory_of_another_name_is_left_alone_whatever_a_lock_file_says(tmp_path: Path, name: str) -> None:
    precious = tmp_path / name
    (precious / "deployments" / "01-a" / "state").mkdir(parents=True)
    die(tmp_path / "leases", "dead", temporary=precious, run=precious)
    assert sweep(tmp_path / "leases", None).directories == 0
    assert (precious / "deployments" / "01-a" / "state").is_dir()


def test_links_are_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "data").mkdir(parents=True)
    temporary, run = tmp_path / "dynperf-dead", tmp_path / "1-dead"
    temporary.symlink_to(precious)
    (run / "deployments" / "01-a").mkdir(parents=True)
    (run / "deployments" / "01-a" / "state").symlink_to(precious)
    die(tmp_path / "leases", "dead", temporary=temporary, run=run)
    assert sweep(tmp_path / "leases", None).directories == 0
    assert (precious / "data").is_dir()
    assert remove_state(run) == 0


def test_what_was_swept_in_one_line() -> None:
    assert swept_line(Swept()) is None
    swept = Swept(sessions=1, processes=3, containers=0, networks=1, directories=2)
    assert swept_line(swept) == "swept up after 1 dead session: 3 processes, 1 network, 2 directories"
    assert swept_line(Swept(containers=1)) == "swept up after an earlier boot: 1 container"
    assert swept_line(Swept(sessions=2, processes=1, left=("process 7 is still there",))) == (
        "swept up after 2 dead sessions: 1 process, process 7 is still there"
    )
