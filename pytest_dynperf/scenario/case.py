"""One point of a scenario's axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.fault import Fault
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Traffic


AXIS = "arm"
"""Under this name an arm stands among the axes of its case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``case_id`` is stable text such as ``agg-isl256-osl32-c4``: what names baselines, selects with ``-k`` and stands in reports.

    ``axes`` holds the values that differ within the scenario, by dotted key. ``overrides`` are the ``--dynperf-set`` texts in force.
    ``directory`` is what relative files of the scenario are relative to; it stands in no file of ours. ``fault`` is injected into every
    run, between its first and its last measured request. ``skip``: why this platform cannot answer the question; the case is then skipped,
    and never measured. ``arm`` is the side of an on/off question that this case is; its id ends in the name. ``reference`` is the arm that
    its answers are held against, and ``noise`` that one once more: what an arm is worth is only known where both were measured.
    """

    suite: str
    case_id: str
    question: str
    platform: str
    topology: Topology
    traffic: Traffic
    expectation: Expectation
    axes: tuple[tuple[str, str], ...] = ()
    overrides: tuple[str, ...] = ()
    directory: str = "."
    fault: Fault | None = None
    skip: str | None = None
    arm: str | None = None
    reference: Case | None = field(default=None, compare=False, repr=False)
    noise: Case | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """``suite/case_id``: unique within a session."""
        return f"{self.suite}/{self.case_id}"

    @property
    def point(self) -> str:
        """What all arms of one point of the axes have in common, and no other point: the suite with the values of the axes. Prompts are
        named by it, so that an arm with another mode or fault, which stands in its id, is asked the same. Without axes: the name without
        the arm.
        """
        if self.arm is None:
            return self.name
        shared = ", ".join(f"{key}={value}" for key, value in self.axes if key != AXIS)
        return f"{self.suite}/{shared}" if (AXIS, self.arm) in self.axes else self.name.removesuffix(f"-{self.arm}")
