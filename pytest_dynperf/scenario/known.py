"""What a scenario may name beyond the keys that it has: engines, kinds of workload and metrics, those of extensions among them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.metrics.definition import MetricDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """``choices`` maps a key to the values that may stand there beside the built-in ones; ``metrics`` is every metric that may be gated."""

    choices: Mapping[str, tuple[str, ...]]
    metrics: Mapping[str, MetricDefinition]

    def more(self, key: str) -> tuple[str, ...]:
        """What extensions add to the choices of ``key``."""
        return self.choices.get(key, ())


BUILT_IN = Known(choices={}, metrics=CATALOGUE)
"""Without any extension."""
