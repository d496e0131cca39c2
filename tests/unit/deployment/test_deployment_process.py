"""The launcher with real small programs."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.deployment import process, reaper
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 20.0
SLEEP = "import time; time.sleep(600)"


def spec(name: str, code: str, *, directory: Path, role: str = "worker", argv: tuple[str, ...] | None = None) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        role=role,
        argv=argv or (sys.executable, "-u", "-c", code),
        env={"PATH": os.environ["PATH"], "WHERE": str(directory)},
        ports={},
        ready=ReadyCheck(port="http", path="/"),
        working_directory=str(directory / "work"),
    )


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., list[process.Running]]]:
    started: list[process.Running] = []

    def start(*specs: ServiceSpec) -> list[process.Running]:
        running = process.start(specs, log_path=lambda name: tmp_path / "logs" / f"{name}.log")
        started.extend(running)
        return running

    yield start
    process.stop(started)


def ready(tmp_path: Path, name: str) -> bool:
    return (tmp_path / name).exists()


def touching(name: str, rest: str) -> str:
    return (
        f"import os, pathlib, signal, subprocess, sys, time\n{rest}\npathlib.Path(os.environ['WHERE'], '{name}').touch()\ntime.sleep(600)"
    )


def test_runs_in_a_session_of_its_own_with_nothing_inherited(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    os.environ["SECRET_OF_THE_USER"] = "x"
    try:
        (service,) = launch(
            spec("a", "import os, time; print(sorted(os.environ), os.getcwd(), flush=True); time.sleep(600)", directory=tmp_path)
        )
    finally:
        del os.environ["SECRET_OF_THE_USER"]
    wait_for(lambda: service.log.read_text().endswith("\n"), "the service's first line")

    assert os.getsid(service.process.pid) == service.process.pid
    assert "SECRET_OF_THE_USER" not in service.log.read_text()
    assert str(tmp_path / "work") in service.log.read_text()
    assert process.incident([service]) is None


def test_a_lease_lives_as_long_as_the_worker_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "gpu.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    specs = [
        replace(spec("worker", SLEEP, directory=tmp_path), gpus=("GPU-1",)),
        spec("frontend", SLEEP, directory=tmp_path, role="frontend"),
    ]
    running = process.start(specs, log_path=lambda name: tmp_path / f"{name}.log", descriptors=(descriptor,))
    try:
        os.close(descriptor)  # the session is gone, its workers are not
        inherits = [str(path) in {str(link.readlink()) for link in Path(f"/proc/{one.process.pid}/fd").iterdir()} for one in running]
        assert inherits == [True, False]
        with path.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        process.stop(running)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_no_descriptor_of_ours_reaches_a_service(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    with (tmp_path / "lock").open("w") as held:
        (service,) = launch(
            spec("a", "import os, time; print(sorted(os.listdir('/proc/self/fd')), flush=True); time.sleep(600)", directory=tmp_path)
        )
        wait_for(lambda: service.log.read_text().endswith("\n"), "the service's first line")

        links = {str(path.readlink()) for path in Path(f"/proc/{service.process.pid}/fd").iterdir()}

        assert str(held.name) not in links
        assert not any(link.startswith("pipe:") for link in links)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('last words'); raise SystemExit(3)", "service a ended with exit status 3"),
        ("print('last words'); raise SystemExit(0)", "service a ended with exit status 0"),
        ("import os; print('last words', flush=True); os.kill(os.getpid(), 9)", "service a was killed by SIGKILL"),
        ("import os; print('last words', flush=True); os.kill(os.getpid(), 40)", "service a was killed by signal 40"),
    ],
)
def test_incident_says_who_how_and_the_last_lines(
    tmp_path: Path, launch: Callable[..., list[process.Running]], code: str, said: str
) -> None:
    running = launch(spec("b", SLEEP, directory=tmp_path), spec("a", code, directory=tmp_path))
    wait_for(lambda: process.incident(running), "the incident")

    text = process.incident(running)

    assert text is not None
    assert text.startswith(said)
    assert "last words" in text
    assert str(tmp_path / "logs" / "a.log") in text
    assert process.incident(running) == text, "asking twice gives the same answer"


def test_stop_ends_a_service_that_ignores_sigterm(
    tmp_path: Path, launch: Callable[..., list[process.Running]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_S", 1.5)
    (service,) = launch(spec("deaf", touching("up", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"), directory=tmp_path))
    wait_for(lambda: ready(tmp_path, "up"), "the handler")

    process.stop([service])

    assert service.process.returncode == -signal.SIGKILL


def test_stop_lets_a_service_end_by_itself(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), os._exit(7)))"
    (service,) = launch(spec("polite", touching("up", handler), directory=tmp_path))
    wait_for(lambda: ready(tmp_path, "up"), "the handler")

    process.stop([service])

    assert service.process.returncode == 7
    assert "bye" in service.log.read_text()


@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("leader_dies", [False, True])
def test_stop_ends_children_too(
    tmp_path: Path, launch: Callable[..., list[process.Running]], *, own_session: bool, leader_dies: bool
) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = f"p = subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session={own_session}); print(p.pid, flush=True)"
    (service,) = launch(spec("parent", touching("up", child), directory=tmp_path))
    wait_for(lambda: ready(tmp_path, "up"), "the child")
    pid = int(service.log.read_text())
    if leader_dies:
        os.kill(service.process.pid, signal.SIGKILL)
        wait_for(lambda: process.incident([service]), "the end of the leader")

    assert not gone(pid)
    process.stop([service])

    wait_for(lambda: gone(pid), "the end of the child")


def test_infrastructure_ends_last(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    def saying(name: str) -> str:
        stamp = f"pathlib.Path(os.environ['WHERE'], 'end-{name}').write_text(str(time.monotonic_ns()))"
        return touching(f"up-{name}", f"signal.signal(signal.SIGTERM, lambda *_: ({stamp}, os._exit(0)))")

    names = {"etcd": "etcd", "nats": "nats", "frontend": "frontend", "worker-0": "worker"}
    running = launch(*(spec(name, saying(name), directory=tmp_path, role=role) for name, role in names.items()))
    wait_for(lambda: all(ready(tmp_path, f"up-{name}") for name in names), "all handlers")

    process.stop(running)

    ends = {name: int((tmp_path / f"end-{name}").read_text()) for name in names}
    assert max(ends["frontend"], ends["worker-0"]) < min(ends["etcd"], ends["nats"])


def test_stop_twice_and_incident_after_it(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    running = launch(spec("a", SLEEP, directory=tmp_path))
    guard = running[0].guard

    process.stop(running)
    process.stop(running)

    assert guard.returncode == 0
    assert "was stopped" in str(process.incident(running))


def test_failure_in_the_middle_stops_what_was_started(tmp_path: Path) -> None:
    seen: list[int] = []

    def log_path(name: str) -> Path:
        return tmp_path / f"{name}.log"

    def remember(_spec: ServiceSpec, running: object) -> None:
        assert isinstance(running, list)
        seen[:] = [service.process.pid for service in running]

    specs = [spec("a", SLEEP, directory=tmp_path), spec("b", "", directory=tmp_path, argv=("/nowhere/program",))]
    with pytest.raises(DeploymentError, match="cannot start service b: /nowhere/program: No such file or directory"):
        process.start(specs, log_path=log_path, before=remember)

    assert len(seen) == 1
    assert gone(seen[0])


def test_interrupt_in_the_middle_stops_what_was_started(tmp_path: Path) -> None:
    seen: list[int] = []

    def interrupt(spec: ServiceSpec, running: object) -> None:
        assert isinstance(running, list)
        if spec.name == "b":
            seen.append(running[0].process.pid)
            raise KeyboardInterrupt

    specs = [spec("a", SLEEP, directory=tmp_path), spec("b", SLEEP, directory=tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        process.start(specs, log_path=lambda name: tmp_path / f"{name}.log", before=interrupt)

    assert gone(seen[0])


def test_unwritable_log_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a directory should be")

    with pytest.raises(DeploymentError, match=r"cannot start service a: .*/logs"):
        process.start([spec("a", SLEEP, directory=tmp_path)], log_path=lambda name: tmp_path / "logs" / name)


def test_tail_of_a_huge_log_that_is_not_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(200 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\n\xff\xfe broken\n\x1b[31mred\x1b[0m\tand a tab\nthe end\n")

    text = process.tail(log)

    assert text.endswith("the end")
    assert "\x1b" not in text
    assert "\x00" not in text
    assert len(text) < 20000


def test_tail_quotes_no_secret_also_where_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "planted-secret-0815"
    monkeypatch.setenv("ANY_TOKEN", secret)
    log = tmp_path / "service.log"
    log.write_text(secret + " " + "x" * 8153 + f"\nkey={secret}")
    text = process.tail(log)
    assert text.count("[redacted]") == 2
    assert all(secret[start : start + 9] not in text for start in range(len(secret) - 8))


def test_tail_of_a_missing_and_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    assert "No such file" in process.tail(tmp_path / "missing")
    assert "empty" in process.tail(tmp_path / "empty")


KILLED = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_deployment_process import SLEEP, spec
from pytest_dynperf.deployment import process
directory = Path(sys.argv[1])
specs = [spec("a", SLEEP, directory=directory), spec("b", SLEEP, directory=directory)]
running = process.start(specs, log_path=lambda name: directory / name)
print(running[0].guard.pid, *(service.process.pid for service in running), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_survives_when_the_session_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    session = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    with session.stdout:
        pids = [int(word) for word in session.stdout.readline().split()]
    assert len(pids) == 3
    assert not any(gone(pid) for pid in pids)

    session.send_signal(number)
    session.wait()

    wait_for(lambda: all(gone(pid) for pid in pids), "the end of the services and of their reaper")


def test_reaper_finds_only_the_mark(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    (first,) = launch(spec("a", SLEEP, directory=tmp_path))
    (second,) = launch(spec("b", SLEEP, directory=tmp_path))

    assert reaper.marked(first.mark) == [first.process.pid]
    assert reaper.kill_marked(first.mark) == []

    wait_for(lambda: process.incident([first]), "the end of the first")
    assert process.incident([second]) is None


# As one whose title was written over its environment: vLLM's engine core does that.
UNMARKED = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={})
pathlib.Path(os.environ["WHERE"], "child").write_text(str(child.pid))
time.sleep(600)
"""


def test_reaper_finds_what_has_lost_its_mark_in_the_session_of_a_marked_one(
    tmp_path: Path, launch: Callable[..., list[process.Running]]
) -> None:
    (service,) = launch(spec("a", UNMARKED, directory=tmp_path))
    wait_for(lambda: ready(tmp_path, "child") and (tmp_path / "child").read_text(), "the child")
    child = int((tmp_path / "child").read_text())
    assert reaper.marked(service.mark) == [child, service.process.pid], "the leader last: without it the other is known no more"

    assert reaper.kill_marked(service.mark) == []
    wait_for(lambda: gone(child), "the end of the child")


def test_a_service_that_ends_with_status_0_is_an_incident(tmp_path: Path, launch: Callable[..., list[process.Running]]) -> None:
    (service,) = launch(spec("a", "print('all is well')", directory=tmp_path))
    wait_for(lambda: process.ended(service.process), "the end of the service")
    said = process.incident([service]) or ""
    assert "service a ended with exit status 0, although nobody asked it to. Its log" in said
    assert said.endswith("all is well")


def test_one_that_was_killed_for_want_of_memory_says_so(
    tmp_path: Path, launch: Callable[..., list[process.Running]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, other = launch(spec("a", SLEEP, directory=tmp_path), spec("b", SLEEP, directory=tmp_path))
    os.kill(service.process.pid, signal.SIGKILL)
    os.kill(other.process.pid, signal.SIGTERM)
    wait_for(lambda: process.ended(service.process) and process.ended(other.process), "the end of both services")
    assert "memory" not in (process.incident([service]) or ""), "nobody was killed for it since"
    count = process.oom_kills()
    monkeypatch.setattr(process, "oom_kills", lambda: count + 1)
    assert "was killed by SIGKILL, although nobody asked it to (out of memory: the kernel" in (process.incident([service]) or "")
    assert "memory" not in (process.incident([other]) or "")


def test_how_often_memory_was_short(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 7\noom_kill 3\n")
    assert process.oom_kills(counters) == 3
    counters.write_text("nr_free_pages 7\n")
    assert process.oom_kills(counters) == 0
    assert process.oom_kills(tmp_path / "none") == 0


def test_a_mark_begins_with_its_session() -> None:
    assert process.new_mark("3f2a9c").startswith("3f2a9c-")
    assert len(process.new_mark("3f2a9c")) == len("3f2a9c-") + 32
    assert len(process.new_mark("")) == 32
