"""Performance regression testing of LLM serving as a pytest plugin.

What a suite may import stands in ``_PUBLIC``. Names are resolved on first use (PEP 562): importing this package costs a pytest run that
does not measure anything next to nothing, whereas an eager import of the judge alone brings scipy (0.5 s).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.errors import DynperfError
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.plugin.performance import Perf
    from pytest_dynperf.quantity import Absent, Direction, Quantity, Unit
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.expectation import Expectation, Gate
    from pytest_dynperf.scenario.fault import Fault
    from pytest_dynperf.scenario.topology import Images, KvCache, Role, Router, Speculation, Topology
    from pytest_dynperf.scenario.traffic import Traffic

_PUBLIC = {
    "Absent": "quantity",
    "Case": "scenario.case",
    "Cell": "metrics.definition",
    "Direction": "quantity",
    "DynperfError": "errors",
    "Endpoint": "endpoint",
    "Expectation": "scenario.expectation",
    "Fault": "scenario.fault",
    "Gate": "scenario.expectation",
    "Images": "scenario.topology",
    "KvCache": "scenario.topology",
    "Perf": "plugin.performance",
    "Quantity": "quantity",
    "Role": "scenario.topology",
    "Router": "scenario.topology",
    "Speculation": "scenario.topology",
    "Topology": "scenario.topology",
    "Traffic": "scenario.traffic",
    "Unit": "quantity",
}

__all__ = [
    "Absent",
    "Case",
    "Cell",
    "Direction",
    "DynperfError",
    "Endpoint",
    "Expectation",
    "Fault",
    "Gate",
    "Images",
    "KvCache",
    "Perf",
    "Quantity",
    "Role",
    "Router",
    "Speculation",
    "Topology",
    "Traffic",
    "Unit",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
