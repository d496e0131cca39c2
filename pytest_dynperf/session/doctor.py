"""What this machine has and lacks for platforms and suites. Pure but for :mod:`pytest_dynperf.session.doctor_gather`, which looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import PlatformError, nearest
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.selection import AUTO, select_platform
from pytest_dynperf.session import doctor_checks_gpu, doctor_checks_host, doctor_checks_software
from pytest_dynperf.session.doctor_finding import Fine, Lack, Severity, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_dynperf.scenario.platform import Platform
    from pytest_dynperf.session.doctor_facts import Facts
    from pytest_dynperf.session.doctor_finding import Finding
    from pytest_dynperf.session.doctor_need import Need

ALL = "all"
"""``--platform all``: every platform that is known."""

CHECKS: tuple[Callable[[Facts, Need], Iterable[Finding]], ...] = (
    doctor_checks_software.suites,
    doctor_checks_software.software,
    doctor_checks_software.container_engine,
    doctor_checks_gpu.gpus,
    doctor_checks_software.models,
    doctor_checks_host.host,
    doctor_checks_host.leftovers,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """``findings`` of each platform by name, ``asked`` the names that decide the exit code, ``why`` they were taken."""

    findings: Mapping[str, tuple[Finding, ...]]
    asked: tuple[str, ...]
    why: str

    def can_run(self, name: str) -> bool:
        """Whether nothing is missing."""
        return not any(missing(finding) for finding in self.findings[name])

    @property
    def healthy(self) -> bool:
        """Whether everything that was asked for can run."""
        return all(self.can_run(name) for name in self.asked)

    @property
    def warned(self) -> bool:
        """Whether there is a warning among what was asked for."""
        return any(
            isinstance(finding, Lack) and finding.severity is Severity.WARNING for name in self.asked for finding in self.findings[name]
        )

    @property
    def shown(self) -> tuple[Finding, ...]:
        """Findings of what was asked for, each once, the worst first."""
        order = (*Severity, None)
        found = dict.fromkeys(finding for name in self.asked for finding in self.findings[name])
        return tuple(sorted(found, key=lambda one: order.index(None if isinstance(one, Fine) else one.severity)))


def diagnose(facts: Facts, needs: Sequence[Need], asked: Sequence[str]) -> Diagnosis:
    """Every check for every platform. ``asked``: names, ``all``, or nothing, which asks for what ``--gpu=auto`` would take here.

    :raises PlatformError: for a name that is not known.
    """
    names, why = _asked(asked, facts, [need.platform for need in needs])
    findings = {need.platform.name: tuple(finding for check in CHECKS for finding in check(facts, need)) for need in needs}
    return Diagnosis(findings=findings, asked=names, why=why)


def _asked(asked: Sequence[str], facts: Facts, platforms: Sequence[Platform]) -> tuple[tuple[str, ...], str]:
    known = {platform.name: platform for platform in platforms}
    if not asked:
        gpus = facts.gpu.gpus
        found = gpus if isinstance(gpus, Absent) else [(gpu.name, gpu.memory_gib) for gpu in gpus]
        platform, why = select_platform(AUTO, found, platforms, attached=False)
        return (platform.name,), why
    for name in asked:
        if name != ALL and name not in known:
            msg = f"--platform {name}: there is no such platform{nearest(name, known)}; known: {', '.join([ALL, *sorted(known)])}"
            raise PlatformError(msg)
    return (tuple(sorted(known)) if ALL in asked else tuple(dict.fromkeys(asked))), "asked for"
