"""From ``scenario.toml`` to pytest parameters: axes become cases, case ids become parameter ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DynperfError, PlatformError
from pytest_dynperf.plugin.state import STATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.scenario.case import Case


def generate_cases(metafunc: pytest.Metafunc) -> None:
    """Parametrise ``perf`` by the scenario beside the test module, unless the test brings its own cases."""
    own = any(
        "perf" in str(mark.args[0]).replace(" ", "").split(",") for mark in metafunc.definition.iter_markers("parametrize") if mark.args
    )
    scenario = Path(str(metafunc.module.__file__)).parent / "scenario.toml"
    if own or not scenario.is_file():
        return
    state = metafunc.config.stash[STATE]
    try:
        cases = cases_of(scenario, state)
    except pytest.UsageError as error:  # here pytest would print the stack of its own hooks and return 2
        if state.xdist_worker is not None:
            raise pytest.Collector.CollectError(str(error)) from None
        state.misuse = error
        cases = ()
    metafunc.parametrize("perf", cases, indirect=True, ids=[case.case_id for case in cases])


def cases_of(path: Path, state: State) -> tuple[Case, ...]:
    """The cases of one scenario on the platform of this invocation.

    :raises pytest.Collector.CollectError: with the complete text, when the scenario, the platform or an override says something wrong.
    :raises pytest.UsageError: for an option that has no meaning.
    """
    from pytest_dynperf.scenario.sweep import expand
    from pytest_dynperf.scenario.toml_file import load_scenario

    try:
        platform, _why = state.platform_for(path)
        known = state.make_settings().extensions.known
        scenario = load_scenario(path, known=known)
        for layer in (scenario.layer, *scenario.platforms.values()):
            state.axis_variables |= {name: os.environ[name] for name in layer.axis_variables.values() if name in os.environ}
        return expand(scenario, platform, overrides=state.make_settings().overrides, environ=os.environ, known=known)
    except DynperfError as error:
        raise pytest.Collector.CollectError(str(error)) from None


def case_of(item: pytest.Item) -> Case | None:
    """The case that ``item`` measures, if it measures one."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("perf")


def cases_in(items: Sequence[pytest.Item]) -> dict[str, Case]:
    """Node ids and cases of the items that measure, in the order in which they run; those that are skipped here measure nothing."""
    found = {item.nodeid: case_of(item) for item in items if "perf" in getattr(item, "fixturenames", ())}
    return {node_id: case for node_id, case in found.items() if case is not None and case.skip is None}


def check_named_platform(state: State, config: pytest.Config) -> None:
    """Refuse ``--gpu=NAME`` before anything is collected where the name or the hardware is not here.

    :raises pytest.UsageError: saying what was needed and what was found.
    """
    starts = [Path(argument.partition("::")[0]) for argument in config.args]
    directory = next((path if path.is_dir() else path.parent for path in starts if path.exists()), config.rootpath)
    try:
        state.platform_for((config.invocation_params.dir / directory / "scenario.toml").resolve())
    except PlatformError as error:
        raise pytest.UsageError(str(error)) from None


def complete_plan(state: State, session: pytest.Session) -> None:
    """Everything is selected: build the plan, and prove that its results can be kept.

    :raises pytest.UsageError: for two cases of one name, or results that could not be written.
    """
    from pytest_dynperf.plugin import summary
    from pytest_dynperf.plugin.distribution import report_plan
    from pytest_dynperf.plugin.opening import read_earlier
    from pytest_dynperf.session.plan import Plan, duplicates

    cases = cases_in(session.items)
    if not cases:
        return
    twice = duplicates(list(cases.values()))
    if twice:
        msg = f"two tests measure {twice[0]}: baselines could not tell them apart; rename one suite's directory, or select one of them"
        raise pytest.UsageError(msg)
    (platform, why), *_others = state.platforms.values() or [state.platform_for(state.config.rootpath / "scenario.toml")]
    state.plan = Plan(platform=platform, why=why, cases=tuple(cases.values()))
    state.settle(platform)
    state.node_ids = {node_id: case.name for node_id, case in cases.items()}
    if session.config.getoption("dynperf_plan") or session.config.getoption("collectonly"):
        return
    if state.xdist_worker is not None:
        read_earlier(state)
        report_plan(state, cases, summary.header_lines(state), platform.name)
        return
    summary.prepare(state, platform.name)


def print_plan(state: State, items: Sequence[pytest.Item]) -> None:
    """What ``--dynperf-plan`` prints; behind it, which suites are skipped here, and why."""
    from pytest_dynperf.plugin.extensions import fetch_baselines
    from pytest_dynperf.session.plan import plan_lines

    if state.plan is not None:
        fetch_baselines(state.make_settings())
    writer = state.config.get_terminal_writer()
    writer.line()
    cases = [case for case in map(case_of, items) if case is not None and case.skip is not None]
    skipped = dict.fromkeys(f"{case.suite} cannot be answered on {case.platform}: {case.skip}" for case in cases)
    if state.plan is not None:
        for line in plan_lines(state.plan, state.make_settings()):
            writer.line(line)
    elif not skipped:
        writer.line("nothing would be measured: no test that uses the fixture `perf` is selected")
    for line in skipped:
        writer.line(f"skipped    {line}")
