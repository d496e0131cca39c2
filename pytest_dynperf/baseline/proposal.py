"""A measurement as the document that it would become, and the key under which it would be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS
from pytest_dynperf.metrics.catalogue import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.environment import Environment
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.metrics.definition import Meaning
    from pytest_dynperf.scenario.case import Case


def binding_key(case: Case, environment: Environment) -> dict[str, str]:
    """What must be equal for two measurements to be compared: the environment's key, the topology's shape, engine, model, and workload.

    Versions, free arguments and overrides are not in it: they are what may be under test, and belong to the provenance.
    """
    return {
        **environment.key,
        "topology.shape": case.topology.shape,
        "topology.engine": case.topology.engine,
        "topology.model": case.topology.model,
        "workload": case.traffic.workload_hash,
    }


def propose(
    measurement: Measurement,
    *,
    case: Case,
    environment: Environment,
    key: Mapping[str, str],
    session_id: str,
    stamp: str,
    epoch: int = 0,
    reason: str | None = None,
    meanings: Mapping[str, Meaning] | None = None,
) -> Baseline:
    """The document of an accepted measurement; ``key`` is :func:`binding_key` of the same case and environment, ``stamp`` UTC.
    ``meanings``: those of metrics that the catalogue does not know.

    :raises BaselineError: for an invalid measurement, for fewer than three runs, and for an environment that cannot be identified.
    """
    _require_valid(measurement, case, environment)
    metrics = {metric for run in measurement.runs for metric in (*(cell.metric for cell in run.values), *run.distributions, *run.parts)}
    known = {**(meanings or {}), **MEANINGS}
    if strangers := sorted(metrics - known.keys()):
        msg = f"{case.name} cannot become a baseline: nobody says in which unit {strangers[0]} is. Its extension must define the metric."
        raise BaselineError(msg)
    return Baseline(
        suite=case.suite,
        case_id=case.case_id,
        session_id=session_id,
        stamp=stamp,
        environment_name=environment.name,
        key=dict(key),
        provenance=dict(environment.provenance),
        units={metric: known[metric].unit.value for metric in sorted(metrics)},
        runs=tuple(
            BaselineRun(
                values=dict(run.values),
                distributions=dict(run.distributions),
                requests=run.requests,
                errors=run.errors,
                duration_s=run.duration_s,
                parts=dict(run.parts),
            )
            for run in measurement.runs
        ),
        epoch=epoch,
        reason=reason,
        unknown_metrics={metric: (known[metric].direction.value, known[metric].kind.value) for metric in sorted(metrics - MEANINGS.keys())},
    )


def _require_valid(measurement: Measurement, case: Case, environment: Environment) -> None:
    flaws = (*measurement.problems, *(problem for run in measurement.runs for problem in run.problems))
    if flaws:
        msg = f"{case.name} cannot become a baseline: its measurement is invalid ({flaws[0]}). Remove the cause and measure again."
        raise BaselineError(msg)
    if len(measurement.runs) < MINIMUM_RUNS:
        msg = (
            f"{case.name} cannot become a baseline: {len(measurement.runs)} runs, needed are {MINIMUM_RUNS}. Measure again with more runs."
        )
        raise BaselineError(msg)
    if (why := environment.refused_as_baseline) is not None:
        msg = f"{case.name} cannot become a baseline: {why}"
        raise BaselineError(msg)
