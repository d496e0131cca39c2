"""One recording to one :class:`~pytest_dynperf.measurement.measurement.Run`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pytest_dynperf.measurement.measurement import Distribution, Run
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.metrics.catalogue import CATALOGUE, cells, statistics
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.statistic import PERCENTILES, statistic
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pytest_dynperf.metrics.definition import MetricDefinition, RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic

_Computed = TypeVar("_Computed")


def summarise(
    recording: Recording,
    *,
    traffic: Traffic,
    expectation: Expectation,
    facts: RunFacts,
    metrics: Mapping[str, MetricDefinition] = CATALOGUE,
) -> Run:
    """All cells of ``metrics``, by id, for one run; each is either in ``values`` or in ``absent``.

    The objectives are those of ``expectation``, whatever ``facts`` holds. A run with problems has no values, no distributions and no
    parts: what must not be judged cannot be judged by accident.
    """
    flaws = problems(recording, traffic, expectation)
    facts = replace(facts, objectives=expectation.objectives)
    if flaws:
        found = Cells(absent=dict.fromkeys(cells(metrics), Absent(f"the run is invalid: {flaws[0]}")))
    else:
        found = cells_of(recording, facts, metrics)
    errors = [record.error for record in recording.measured if record.error is not None]
    return Run(
        name=recording.run,
        values=found.values,
        absent=found.absent,
        distributions=found.distributions,
        requests=len(recording.measured),
        errors=len(errors),
        error_kinds=dict(Counter(error.kind.value for error in errors).most_common()),
        duration_s=recording.duration_s,
        certificate=recording.certificate,
        witness=dict(recording.witness),
        problems=flaws,
        parts=found.parts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What the catalogue gives for one recording; each cell is either in ``values`` or in ``absent``. ``parts`` has every rate that is in
    ``values``.
    """

    values: dict[Cell, float] = field(default_factory=dict)
    absent: dict[Cell, Absent] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)
    parts: dict[str, tuple[float, float]] = field(default_factory=dict)


def cells_of(recording: Recording, facts: RunFacts, metrics: Mapping[str, MetricDefinition] = CATALOGUE) -> Cells:
    """All cells, whether the run may be judged or not. Costs about 15 passes over the records."""
    found = Cells()
    for definition in metrics.values():
        if definition.parts is not None:
            parts = _tried(definition, partial(definition.parts, recording, facts))
            if not isinstance(parts, Absent):
                found.parts[definition.id] = (float(parts[0]), float(parts[1]))
        samples = None if definition.samples is None else _tried(definition, partial(definition.samples, recording))
        if samples is not None and not isinstance(samples, Absent) and len(samples):
            found.distributions[definition.id] = distribution(samples)
        for name in statistics(definition):
            value = _value(definition, recording, facts, samples=samples, name=name)
            if isinstance(value, Absent):
                found.absent[Cell(definition.id, name)] = value
            else:
                found.values[Cell(definition.id, name)] = float(value)
    return found


def _value(
    definition: MetricDefinition, recording: Recording, facts: RunFacts, *, samples: NDArray[np.float64] | Absent | None, name: str
) -> float | Absent:
    if definition.value is not None:
        return _tried(definition, partial(definition.value, recording, facts))
    if isinstance(samples, Absent):
        return samples
    if samples is None or not len(samples):
        return Absent(f"no successful request gives a value (source: {definition.source})")
    return statistic(samples, name)


def _tried(definition: MetricDefinition, compute: Callable[[], _Computed]) -> _Computed | Absent:
    """What an extension fails to compute is absent, with the reason: hours of measuring are not lost over it. Of our own metrics an
    exception is a defect that must be seen.
    """
    if definition.id in CATALOGUE:
        return compute()
    try:
        return compute()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the extension's
        return Absent(f"{definition.id} could not be computed: {type(error).__name__}: {error}")


def distribution(samples: NDArray[np.float64]) -> Distribution:
    """Of at least one sample, in the unit of the samples.

    :raises ValueError: for an empty array.
    """
    if not len(samples):
        msg = "a distribution needs at least one sample"
        raise ValueError(msg)
    positive = samples[samples > 0]
    percentiles = {name: statistic(samples, name) for name in PERCENTILES}
    return Distribution(
        n=len(samples),
        mean=float(np.mean(samples)),
        sd=float(np.std(samples)),
        sd_log=float(np.std(np.log(positive), ddof=1)) if len(positive) > 1 else None,
        minimum=float(np.min(samples)),
        maximum=float(np.max(samples)),
        percentiles={name: value for name, value in percentiles.items() if not isinstance(value, Absent)},
    )
