"""One recording to one :class:`~pytest_dynperf.measurement.measurement.Run`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.measurement.measurement import Distribution, Run
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.metrics.catalogue import CATALOGUE, cells, statistics
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.statistic import PERCENTILES, statistic
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic


def summarise(recording: Recording, *, traffic: Traffic, expectation: Expectation, facts: RunFacts) -> Run:
    """All cells of the catalogue for one run; each is either in ``values`` or in ``absent``.

    The objectives are those of ``expectation``, whatever ``facts`` holds. A run with problems has no values, no distributions and no
    parts: what must not be judged cannot be judged by accident.
    """
    flaws = problems(recording, traffic, expectation)
    facts = replace(facts, objectives=expectation.objectives)
    found = Cells(absent=dict.fromkeys(cells(), Absent(f"the run is invalid: {flaws[0]}"))) if flaws else cells_of(recording, facts)
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


def cells_of(recording: Recording, facts: RunFacts) -> Cells:
    """All cells, whether the run may be judged or not. Costs about 15 passes over the records."""
    found = Cells()
    for definition in CATALOGUE.values():
        if definition.parts is not None and not isinstance(parts := definition.parts(recording, facts), Absent):
            found.parts[definition.id] = (float(parts[0]), float(parts[1]))
        samples = definition.samples(recording) if definition.samples is not None else None
        if samples is not None and len(samples):
            found.distributions[definition.id] = distribution(samples)
        for name in statistics(definition):
            value: float | Absent
            if definition.value is not None:
                value = definition.value(recording, facts)
            elif samples is None or not len(samples):
                value = Absent(f"no successful request gives a value (source: {definition.source})")
            else:
                value = statistic(samples, name)
            if isinstance(value, Absent):
                found.absent[Cell(definition.id, name)] = value
            else:
                found.values[Cell(definition.id, name)] = float(value)
    return found


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
