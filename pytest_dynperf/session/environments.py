"""What is known of a deployment on which a case is measured: what binds comparability, and what explains a difference."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.inspection import commit_facts
from pytest_dynperf.environment import Environment
from pytest_dynperf.session.extensions import added_facts
from pytest_dynperf.session.redaction import without_secrets
from pytest_dynperf.session.workload_file import workload_facts

if TYPE_CHECKING:
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.deployments import Deployments
    from pytest_dynperf.session.plan import Settings


def environment_of(case: Case, deployment: Deployment, settings: Settings, deployments: Deployments) -> Environment:
    """What is known of a deployment on which ``case`` is measured, without secrets.

    :raises UsageError: when an extension tells a fact that is told already.
    """
    gpus = deployments.gpus_of(deployment)
    gpu_key, gpu_facts = ({}, {}) if gpus is None else (gpus.key(), gpus.provenance())
    key, provenance = added_facts(
        settings.extensions,
        case,
        deployment.endpoint,
        key={**deployment.key, **gpu_key, **workload_facts(case), **({"fault": case.fault.words} if case.fault else {})},
        provenance={**deployment.provenance, **gpu_facts, **commit_facts(settings.rootdir), **_asked(case)},
    )
    environment = Environment(
        platform=case.platform,
        key=key,
        provenance=provenance,
        may_be_baseline=not settings.attached or settings.environment_name is not None,
    )
    return without_secrets(environment, settings)


def _asked(case: Case) -> dict[str, str]:
    """What was asked for by hand: it may be what is under test, so it explains and does not bind."""
    arguments = {f"{name}.args": shlex.join(role.args) for name, role in case.topology.roles.items() if role.args}
    if case.topology.router_args:
        arguments["router.args"] = shlex.join(case.topology.router_args)
    if case.overrides:
        arguments["dynperf.set"] = "; ".join(case.overrides)
    return arguments
