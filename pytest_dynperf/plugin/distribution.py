"""pytest-xdist: who is controller, what crosses between the processes, and how.

Down: identity and an exchange directory in ``workerinput``. Up: results ride on test reports, which reach the controller even when the
xdist worker crashes later; plans and live lines go through the exchange directory. There each worker also makes a pipe whose other end the
controller holds: when it ends, the worker stops what it has started.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from pytest_dynperf.plugin.interruption import Leash, Watch
from pytest_dynperf.plugin.live import Relay, write_line
from pytest_dynperf.plugin.state import STATE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.scenario.case import Case


class Controller:
    """Registered as a plugin in the controller of a distributed run."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._exchange = state.temporary
        self._relay = Relay(state.config, self._exchange)
        self._leash = Leash()

    def pytest_configure_node(self, node: object) -> None:
        """Tell an xdist worker which session it belongs to."""
        node.workerinput["dynperf"] = {**self._state.identity, "exchange": str(self._exchange)}  # type: ignore[attr-defined]

    def pytest_xdist_node_collection_finished(self, node: object) -> None:
        """The first xdist worker that has collected says what the session will measure; all of them collect the same."""
        from pytest_dynperf.plugin.summary import announce

        worker: str = node.gateway.id  # type: ignore[attr-defined]
        self._leash.hold(pipe_of(self._exchange, worker))
        path = self._exchange / f"{worker}.plan"
        if not path.is_file() or self._state.node_ids:
            return
        plan = json.loads(path.read_text())
        self._state.node_ids = plan["node_ids"]
        self._state.axis_variables = plan["axis_variables"]
        announce(self._state, plan["platform"], plan["header"])
        self._relay.start()

    def pytest_keyboard_interrupt(self) -> None:
        """The xdist workers stop now, not when xdist loses its patience."""
        self._leash.let_go()

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        self._leash.let_go()
        self._relay.stop()
        shutil.rmtree(self._exchange, ignore_errors=True)


def register_controller(config: pytest.Config) -> None:
    """Take part in a distributed run as its controller."""
    config.pluginmanager.register(Controller(config.stash[STATE]), "dynperf-controller")


def report_plan(state: State, cases: Mapping[str, Case], header: list[str], platform: str) -> None:
    """In an xdist worker: hand the controller what this session will measure."""
    from pytest_dynperf.run_directory import own_directory

    assert state.exchange is not None
    assert state.xdist_worker is not None
    state.hold_session()
    own_directory(state.exchange)
    state.watch = Watch(pipe_of(state.exchange, state.xdist_worker))
    node_ids = {node_id: case.name for node_id, case in cases.items()}
    write_line(
        state.exchange / f"{state.xdist_worker}.plan",
        json.dumps({"node_ids": node_ids, "header": header, "axis_variables": state.axis_variables, "platform": platform}),
    )


def pipe_of(exchange: Path, xdist_worker: str) -> Path:
    """Where an xdist worker makes its pipe."""
    return exchange / f"{xdist_worker}.pipe"


def single_process(config: pytest.Config) -> None:
    """Undo ``-n``: a plan is printed by the process that collects."""
    if hasattr(config.option, "tx"):
        config.option.tx = []
        config.option.dist = "no"
        config.option.numprocesses = None
