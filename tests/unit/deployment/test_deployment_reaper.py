"""What the reaper removes when its session is gone, and what it does when all is in order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from pytest_dynperf.deployment import reaper
from tests.fakes.unix_http import unix_http

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "m" * 32
DEADLINE_S = 20.0


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "engine.sock"


class Kept:
    """An engine's containers and networks by their mark; ``late`` come only after the first listing."""

    def __init__(self, containers: dict[str, str], networks: dict[str, str], late: dict[str, str] | None = None) -> None:
        self.containers = containers
        self.networks = networks
        self.late = late or {}
        self.failures = 0

    def answer(self, method: str, asked: str) -> tuple[int, object]:
        if self.failures:
            self.failures -= 1
            return 500, {"message": "busy"}
        kind, _, name = asked.partition("?")[0].strip("/").partition("/")
        kept = self.containers if kind == "containers" else self.networks
        if method == "DELETE":
            assert kind == "networks" or "force=1&v=1" in asked
            return (204, None) if kept.pop(name, None) else (404, {"message": "no such thing"})
        label = json.loads(unquote(asked.partition("filters=")[2]))["label"][0]
        found = [{"Id": one} for one, mark in kept.items() if label == f"org.pytest-dynperf.mark={mark}"]
        if kind == "networks":
            self.containers |= self.late
            self.late = {}
        return 200, found


def test_containers_and_networks_of_the_mark_and_no_others(path: Path) -> None:
    kept = Kept({"a": MARK, "b": "other"}, {"n": MARK, "o": "other"})
    with unix_http(path, kept.answer) as asked:
        assert reaper.remove_containers(str(path), MARK)

    assert (list(kept.containers), list(kept.networks)) == (["b"], ["o"])
    order = [re.sub(r"\?.*", "", one) for one in asked if one.startswith("DELETE")]
    assert order == ["DELETE /containers/a", "DELETE /networks/n"], "a network with a container in it cannot be removed"


def test_what_the_engine_was_still_making_is_found(path: Path) -> None:
    kept = Kept({}, {}, late={"late": MARK})
    with unix_http(path, kept.answer):
        assert reaper.remove_containers(str(path), MARK)

    assert kept.containers == {}


def test_an_engine_that_is_busy_is_asked_again(path: Path) -> None:
    kept = Kept({"a": MARK}, {})
    kept.failures = 2
    with unix_http(path, kept.answer):
        assert reaper.remove_containers(str(path), MARK)

    assert kept.containers == {}


def test_an_engine_that_has_gone_is_given_up(path: Path) -> None:
    assert not reaper.remove_containers(str(path), MARK, patience_s=0.1)


@pytest.mark.parametrize("clean", [True, False])
def test_the_state_directory_and_the_containers_go_unless_all_is_in_order(tmp_path: Path, path: Path, *, clean: bool) -> None:
    state, beside = tmp_path / "state", tmp_path / "beside"
    for directory in (state, beside):
        (directory / "deep").mkdir(parents=True)
    (state / "link").symlink_to(beside)
    kept = Kept({"a": MARK}, {})

    with unix_http(path, kept.answer):
        guard = reaper.start(MARK, directories=(str(state),), engine=str(path))
        reaper.let_go(guard, clean=clean)
        guard.wait(DEADLINE_S)

    assert guard.returncode == 0
    assert state.exists() == clean
    assert bool(kept.containers) == clean
    assert (beside / "deep").exists(), "a link is removed, never what it leads to"


def test_it_passes_over_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-S", reaper.__file__, MARK, "gpu=GPU-1", "nonsense", "directory=relative", f"directory={tmp_path}/state"],
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        timeout=DEADLINE_S,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert not (tmp_path / "state").exists()


def test_letting_go_of_a_reaper_that_somebody_killed() -> None:
    guard = reaper.start(MARK)
    guard.kill()
    guard.wait()

    reaper.let_go(guard, clean=True)


def test_a_reaper_outlives_signals_that_end_its_session() -> None:
    guard = reaper.start(MARK)
    assert guard.stdin is not None
    deadline = time.monotonic() + DEADLINE_S
    # SIGTERM is ignored once it listens: its signal mask tells, bit 14 of SigIgn.
    while not int(re.findall(r"SigIgn:\s+(\w+)", Path(f"/proc/{guard.pid}/status").read_text())[0], 16) >> 14 & 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    guard.terminate()
    assert guard.poll() is None

    reaper.let_go(guard, clean=True)
    assert guard.returncode == 0
