"""PYTEST: the only room that imports pytest.

In: pytest's hooks. Out: parameters, fixtures, reports' user properties, the summary. Loaded at every pytest start on a user's machine: at
module level it imports nothing but pytest and the standard library, and everything else when a test asks for a measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf import hookspecs
from pytest_dynperf.plugin.fixtures import (
    dynamo_deployment,
    dynamo_endpoint,
    dynamo_topology,
    etcd_server,
    fault_proxy,
    faults,
    nats_server,
    perf,
)
from pytest_dynperf.plugin.options import add_options
from pytest_dynperf.plugin.performance import Perf
from pytest_dynperf.plugin.recorder import Interrupted, Recorder
from pytest_dynperf.plugin.state import STATE, create

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["dynamo_deployment", "dynamo_endpoint", "dynamo_topology", "etcd_server", "fault_proxy", "faults", "nats_server", "perf"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini keys."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Extension points."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_load_initial_conftests(args: list[str]) -> None:
    """``--dynperf-resume`` takes its value after ``=`` alone."""
    if "--dynperf-resume" in args:
        from pytest_dynperf.plugin.resumption import lone_option

        lone_option(args)


def pytest_configure(config: pytest.Config) -> None:
    """Make the (empty) state; check early what was asked for by name."""
    state = config.stash[STATE] = create(config)
    config.pluginmanager.register(Interrupted(state), "dynperf-interrupted")
    if config.getoption("dynperf_plan"):
        from pytest_dynperf.plugin.distribution import single_process

        single_process(config)
    if state.xdist_worker is not None:
        return
    if state.part > 1 and not config.getoption("dynperf_plan"):
        from pytest_dynperf.plugin.opening import take_over

        take_over(state)
    config.pluginmanager.register(Recorder(state), "dynperf-recorder")
    if getattr(config.option, "tx", None):  # pytest-xdist is here, and asked for
        from pytest_dynperf.plugin.distribution import register_controller

        register_controller(config)
    if config.getoption("dynperf_gpu") not in {None, "auto"}:
        from pytest_dynperf.plugin.collection import check_named_platform

        check_named_platform(state, config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Axes of scenario.toml become parameters of ``perf``."""
    if "perf" in metafunc.fixturenames:
        from pytest_dynperf.plugin.collection import generate_cases

        generate_cases(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Complete the plan once everything is selected, before the terminal asks for the header.

    :raises pytest.UsageError: for what cannot be measured as it was asked for.
    """
    state = session.config.stash[STATE]
    if state.misuse is not None:
        raise state.misuse
    if not any("perf" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    from pytest_dynperf.plugin.collection import complete_plan

    complete_plan(state, session)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """The header, as soon as it is known that something will be measured."""
    state = config.stash[STATE]
    if state.plan is None or config.getoption("dynperf_plan"):
        return []
    from pytest_dynperf.plugin.summary import header_lines

    return header_lines(state)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """``--dynperf-plan`` prints what would run and starts nothing."""
    if not session.config.getoption("dynperf_plan") or session.testsfailed:
        return None  # errors of collection are reported as always
    from pytest_dynperf.plugin.collection import print_plan

    print_plan(session.config.stash[STATE], session.items)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that measured and never asked for a verdict fails in its call phase: nothing passes because nothing was judged."""
    result = yield
    subject = pyfuncitem.funcargs.get("perf")
    if isinstance(subject, Perf) and (flaw := subject.unasked) is not None:
        subject.give_up(flaw)
        pytest.fail(flaw, pytrace=False)
    return result


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A deployment lives as long as the next test uses it."""
    state = item.config.stash[STATE]
    if state.conduct is None or (nextitem is not None and "dynamo_deployment" in getattr(nextitem, "fixturenames", ())):
        return
    from pytest_dynperf.plugin.collection import case_of

    state.close_unless(None if nextitem is None else case_of(nextitem))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop everything; the recorder writes what came of it afterwards."""
    session.config.stash[STATE].close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever happened: nothing is left running."""
    if STATE in config.stash:
        config.stash[STATE].close()
        config.stash[STATE].let_session_go()
