"""What the cases of one process share while they are measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.cache_reset import reset_caches
from pytest_dynperf.session.budget import Budget
from pytest_dynperf.session.caches import Asked
from pytest_dynperf.session.deadline import CaseDeadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_dynperf.load.run import Progress
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.caches import Reset
    from pytest_dynperf.session.deployments import Deployments
    from pytest_dynperf.session.plan import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What is known of an arm that has been measured: its files, relative to the run directory, or the ``problem`` that left it without;
    and ``facts`` of where, which must be the same for answers to be compared.
    """

    records: tuple[str, ...] = ()
    problem: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What every case of a process shares. ``progress`` is told case, run number, runs, the progress within the run, and what the run is
    for (``pair 3/5 control``; empty for a session's own). ``budget`` is the time left for what a suspect asks for, ``deadline`` that of the
    case. ``temporary`` is the session's directory for files that nobody keeps, made when it is needed. ``reset`` empties caches. ``asked``
    says which prompts which deployment has been asked, ``references`` with which reference a case began, by its name: another process may
    measure that arm once more meanwhile.
    """

    settings: Settings
    run_directory: RunDirectory
    deployments: Deployments
    progress: Callable[[Case, int, int, Progress, str], None]
    budget: Budget = field(default_factory=Budget)
    deadline: CaseDeadline = field(default_factory=CaseDeadline)
    temporary: Path | None = None
    reset: Reset = reset_caches
    asked: Asked = field(default_factory=Asked)
    references: dict[str, Noted] = field(default_factory=dict)
