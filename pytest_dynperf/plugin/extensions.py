"""The only place where extension points are called: below it, what they gave is an ordinary argument."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.environment import Facts
    from pytest_dynperf.report.section import Section
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.extensions import BaselineStore, Extensions
    from pytest_dynperf.session.plan import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_FIRST_RESULT = ("baseline_store",)
"""Hooks that give a result instead of a list of them."""

_METRIC = re.compile(r"[a-z][a-z0-9_]*\.v[1-9][0-9]*")


def collect_extensions(config: pytest.Config, *, baselines: Path) -> Extensions:
    """Ask every plugin what it adds. Where none adds anything, that costs a millisecond. ``baselines``: where they are kept on this host.

    :raises pytest.UsageError: for what cannot be used, and for an exception in a hook; names the plugin and the hook.
    """
    try:
        return _collected(config, baselines)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def _collected(config: pytest.Config, baselines: Path) -> Extensions:
    from pytest_dynperf.deployment.extension_engine import Engine
    from pytest_dynperf.scenario.platform import LAUNCHER_CHOICES, LAUNCHERS
    from pytest_dynperf.scenario.topology import ENGINES
    from pytest_dynperf.scenario.traffic import WORKLOADS
    from pytest_dynperf.session.extensions import Extensions

    def named(hook: str, what: str, fits: Callable[[object], bool], taken: Sequence[str] = ()) -> dict[str, Any]:
        return _named(config, hook, what=what, fits=fits, taken=taken)

    return Extensions(
        launchers=named("launchers", "a function of a LaunchCall", callable, (*LAUNCHERS, *LAUNCHER_CHOICES)),
        engines=named("engines", "an Engine", lambda value: isinstance(value, Engine), ENGINES),
        workloads=named("workloads", "a function of a WorkloadCall", callable, WORKLOADS),
        metrics=_metrics(config),
        watches=named("telemetry", "a function of an Endpoint", callable),
        facts=lambda case, endpoint: _facts(config, case, endpoint),
        store=_store(config, baselines),
    )


def with_sections(
    config: pytest.Config, report: SessionReport, redacted: Callable[[SessionReport], SessionReport] = lambda report: report
) -> tuple[SessionReport, list[str]]:
    """``report`` with the sections of all plugins, which see it ``redacted``; without any, and why, where one cannot be had."""
    from pytest_dynperf.report.section import Section, flaw

    found: list[Section] = []
    hook = "report_sections"
    if next(_calls(config, hook), None) is None:
        return report, []
    report = redacted(report)
    try:
        for plugin, result in _results(config, hook, report=report):
            for section in _sequence(plugin, hook, result, "a sequence of Section"):
                if not isinstance(section, Section):
                    raise _unusable(plugin, hook, section, "a sequence of Section")
                if (why := flaw(section)) is not None:
                    raise _unusable(plugin, hook, section.title, f"a Section that can be shown: {why}")
                found.append(section)
    except UsageError as error:
        return report, [str(error)]
    return replace(report, sections=tuple(found)), []


def tell_judged(config: pytest.Config, report: SessionReport, settings: Settings) -> list[str]:
    """Tell every plugin that the session is judged; in words what went wrong on the way."""
    trouble = []
    for plugin, call in _calls(config, "judged"):
        try:
            call(report=report, directory=settings.run_directory)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the extension's, and the others are told all the same
            trouble.append(f"{_where(plugin, 'judged')} raised {type(error).__name__}: {error}")
    return trouble


def fetch_baselines(settings: Settings) -> None:
    """Have the store of an extension bring what it keeps.

    :raises pytest.UsageError: when it cannot.
    """
    store = settings.extensions.store
    if store is None:
        return
    try:
        store.fetch(settings.baselines)
    except Exception as error:
        msg = (
            f"the store {type(store).__name__} of baselines could not fetch them into {settings.baselines}: {type(error).__name__}: {error}"
        )
        raise pytest.UsageError(msg) from error


def keep_baselines(report: SessionReport, settings: Settings) -> list[str]:
    """Have the store of an extension keep what was accepted just now; in words what went wrong."""
    from pathlib import Path

    store = settings.extensions.store
    if store is None or settings.update != "write" or not report.accepted:
        return []
    try:
        store.keep(settings.baselines, tuple(map(Path, report.accepted)))
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody believes that they are kept
        kept = f"{len(report.accepted)} accepted baselines lie in {settings.baselines} alone"
        return [f"the store {type(store).__name__} did not keep what was accepted: {type(error).__name__}: {error}; {kept}"]
    return []


# ---- one hook each


def _named(config: pytest.Config, hook: str, *, what: str, fits: Callable[[object], bool], taken: Sequence[str] = ()) -> dict[str, Any]:
    expected = f"a dictionary of names (such as 'my-{hook[:-1]}') to {what}"
    found: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for plugin, result in _results(config, hook):
        if not isinstance(result, dict):
            raise _unusable(plugin, hook, result, expected)
        for name, value in result.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise _unusable(plugin, hook, name, f"{expected}; a name has small letters, digits, '_', '.' and '-'")
            if name in taken or name in owners:
                raise _unusable(plugin, hook, name, f"a name that is free: {owners.get(name, 'pytest-dynperf')} has {name!r}")
            if not fits(value):
                raise _unusable(plugin, hook, value, f"{what} as {name!r}")
            found[name], owners[name] = value, plugin
    return found


def _metrics(config: pytest.Config) -> Mapping[str, Any]:
    from pytest_dynperf.metrics.catalogue import CATALOGUE
    from pytest_dynperf.metrics.definition import MetricDefinition

    found: dict[str, MetricDefinition] = {}
    hook = "metrics"
    for plugin, result in _results(config, hook):
        for definition in _sequence(plugin, hook, result, "a sequence of MetricDefinition"):
            if not isinstance(definition, MetricDefinition):
                raise _unusable(plugin, hook, definition, "a sequence of MetricDefinition")
            if definition.id in CATALOGUE or definition.id in found:
                raise _unusable(plugin, hook, definition.id, "an id that no other metric has")
            if (why := _metric_flaw(definition)) is not None:
                raise _unusable(plugin, hook, definition.id, why)
            found[definition.id] = definition
    return found


def _metric_flaw(definition: Any) -> str | None:
    """What is expected of a definition and not so."""
    from pytest_dynperf.metrics.definition import Kind
    from pytest_dynperf.quantity import Direction, Unit

    if not isinstance(definition.id, str) or not _METRIC.fullmatch(definition.id):
        return "an id of small letters, digits and '_', with a version behind it, such as 'first_chunk_size.v1'"
    if not isinstance(definition.unit, Unit) or not isinstance(definition.direction, Direction) or not isinstance(definition.kind, Kind):
        return "a Unit, a Direction and a Kind"
    if (definition.samples is None) == (definition.value is None):
        return "either samples (one value per request) or value (one per run), and not both"
    if (definition.kind is Kind.RATE) != (definition.parts is not None):
        return "parts (numerator and denominator) of a Kind.RATE, and of nothing else"
    if not isinstance(definition.prior_sd, float | int) or not definition.prior_sd > 0:
        return "a prior_sd above 0: how far sessions lie apart by chance"
    return None if definition.formula.strip() and definition.source.strip() else "a formula and a source, in words"


def _facts(config: pytest.Config, case: Case, endpoint: Endpoint) -> tuple[Facts, ...]:
    """:raises UsageError: for what cannot be used: in the middle of a session that is an invalid case."""
    from pytest_dynperf.environment import Facts

    found = []
    hook, expected = "environment", "Facts with texts, or None"
    for plugin, result in _results(config, hook, case=case, endpoint=endpoint):
        if not isinstance(result, Facts):
            raise _unusable(plugin, hook, result, expected)
        texts = [text for table in (result.key, result.provenance) for pair in table.items() for text in pair]
        if not all(isinstance(text, str) for text in texts):
            raise _unusable(plugin, hook, result, expected)
        found.append(result)
    return tuple(found)


def _store(config: pytest.Config, baselines: Path) -> BaselineStore | None:
    hook = "baseline_store"
    for plugin, result in _results(config, hook, directory=baselines):
        if not callable(getattr(result, "fetch", None)) or not callable(getattr(result, "keep", None)):
            raise _unusable(plugin, hook, result, "an object with fetch(directory) and keep(directory, documents), or None")
        store: BaselineStore = result
        return store
    return None


# ---- calling


def _results(config: pytest.Config, hook: str, **arguments: object) -> Iterator[tuple[str, Any]]:
    """What each plugin gives that gives anything, with its name, in pytest's order.

    :raises UsageError: for an exception in a hook.
    """
    for plugin, call in _calls(config, hook):
        try:
            result = call(**arguments)
        except Exception as error:
            msg = f"{_where(plugin, hook)} raised {type(error).__name__}: {error}"
            raise UsageError(msg) from error
        if result is not None:
            yield plugin, result


def _calls(config: pytest.Config, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """One call per plugin, so that it is known whose result it is; a wrapper of the hook takes part in its own plugin's call."""
    manager = config.pluginmanager
    name = f"pytest_dynperf_{hook}"
    implementations = getattr(manager.hook, name).get_hookimpls()
    owners = [one.plugin for one in implementations]
    for implementation in reversed(implementations):
        if implementation.wrapper or implementation.hookwrapper:
            continue
        caller = manager.subset_hook_caller(name, remove_plugins=[plugin for plugin in owners if plugin is not implementation.plugin])
        yield implementation.plugin_name, caller if hook in _FIRST_RESULT else partial(_only, caller)


def _only(caller: Callable[..., list[Any]], **arguments: object) -> Any:
    """The one result of a caller that gives a list of results; ``None`` is left out of it."""
    return next(iter(caller(**arguments)), None)


def _sequence(plugin: str, hook: str, result: object, expected: str) -> Sequence[Any]:
    if not isinstance(result, list | tuple):
        raise _unusable(plugin, hook, result, expected)
    return result


def _where(plugin: str, hook: str) -> str:
    return f"the plugin {plugin!r}: pytest_dynperf_{hook}"


def _unusable(plugin: str, hook: str, found: object, expected: str) -> UsageError:
    shown = repr(found)
    return UsageError(f"{_where(plugin, hook)} gave {shown if len(shown) <= 120 else shown[:117] + '...'}, expected is {expected}")
