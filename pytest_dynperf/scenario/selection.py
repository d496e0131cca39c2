"""Which platform a session runs on, and why. Pure: what NVML found arrives as an argument."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dynperf.errors import PlatformError, nearest
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.scenario.platform import Platform

AUTO = "auto"
WITHOUT_GPU = "mocker"
ATTACHED = "attached"
_MEMORY_SLACK = 0.9
"""NVML reports what is usable: 45.0 GiB on a card sold with 48 GB, 79.6 GiB on one sold with 80."""


def select_platform(
    requested: str, gpus: Sequence[tuple[str, float]] | Absent, platforms: Sequence[Platform], *, attached: bool
) -> tuple[Platform, str]:
    """The platform and one sentence that says why it was taken.

    ``gpus`` holds product name and memory in GiB of each GPU. ``requested`` is a name or ``auto``: with an endpoint that already runs
    (``attached``) the platform attached; else the platform whose pattern matches the GPUs and which finds enough of them, the longest
    pattern first; else mocker.

    :raises PlatformError: unknown name; or GPUs that a named platform needs and that are not here; or ``attached`` by name without an
        endpoint.
    """
    by_name = {platform.name: platform for platform in platforms}
    if requested != AUTO:
        platform = _named(requested, by_name)
        return platform, _why_named(platform, gpus, attached=attached)
    if attached:
        return _named(ATTACHED, by_name), "an endpoint that already runs was given, using attached"
    candidates = [platform for platform in platforms if _matching(platform, gpus)]
    for platform in sorted(candidates, key=lambda candidate: (-len(candidate.gpu_pattern), candidate.name)):
        if len(_sufficient(platform, gpus)) >= platform.gpu_count:
            return platform, f"found {_found(gpus)}, using {platform.name}"
    return _named(WITHOUT_GPU, by_name), f"{_why_none(candidates, gpus)}, using {WITHOUT_GPU}"


def _named(name: str, by_name: dict[str, Platform]) -> Platform:
    if name not in by_name:
        msg = f"there is no platform {name!r}{nearest(name, by_name)}; known: {', '.join([AUTO, *sorted(by_name)])}"
        raise PlatformError(msg)
    return by_name[name]


def _why_named(platform: Platform, gpus: Sequence[tuple[str, float]] | Absent, *, attached: bool) -> str:
    if attached:
        return f"--gpu={platform.name}; the endpoint already runs, GPUs of this machine are not looked at"
    if platform.launcher == "attached":
        msg = (
            f"platform {platform.name!r} measures an endpoint that already runs, and none was given: "
            f"add --dynperf-endpoint URL, or take another --gpu"
        )
        raise PlatformError(msg)
    if len(_sufficient(platform, gpus)) < platform.gpu_count:
        msg = (
            f"platform {platform.name!r} needs {_need(platform)}, found {_found(gpus)}; "
            f"run where they are, or take --gpu={WITHOUT_GPU} (no GPU, simulated timing)"
        )
        raise PlatformError(msg)
    return f"--gpu={platform.name}"


def _why_none(candidates: Sequence[Platform], gpus: Sequence[tuple[str, float]] | Absent) -> str:
    if candidates:
        return f"found {_found(gpus)}, which is less than " + " or ".join(f"{one.name} needs ({_need(one)})" for one in candidates)
    if isinstance(gpus, Absent) or not gpus:
        return _found(gpus)
    return f"no platform for {_found(gpus)}"


def _matching(platform: Platform, gpus: Sequence[tuple[str, float]] | Absent) -> list[tuple[str, float]]:
    if not platform.gpu_pattern or isinstance(gpus, Absent):
        return []
    # As a word of its own: "H200" is not meant by "NVIDIA GH200 480GB", "A100" not by "RTX A1000".
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(platform.gpu_pattern)}(?![A-Za-z0-9])", re.IGNORECASE)
    return [gpu for gpu in gpus if pattern.search(gpu[0])]


def _sufficient(platform: Platform, gpus: Sequence[tuple[str, float]] | Absent) -> list[tuple[str, float]]:
    return [gpu for gpu in _matching(platform, gpus) if gpu[1] >= _MEMORY_SLACK * platform.gpu_memory_gib]


def _need(platform: Platform) -> str:
    return f"{platform.gpu_count} x {platform.gpu_pattern} ({platform.gpu_memory_gib:g} GiB)"


def _found(gpus: Sequence[tuple[str, float]] | Absent) -> str:
    if isinstance(gpus, Absent):
        return f"no NVIDIA GPU ({gpus.reason})"
    if not gpus:
        return "no NVIDIA GPU"
    kinds: dict[tuple[str, int], int] = {}
    for name, memory_gib in gpus:
        kinds[name, round(memory_gib)] = kinds.get((name, round(memory_gib)), 0) + 1
    return ", ".join(f"{count} x {name} ({memory_gib} GiB)" for (name, memory_gib), count in kinds.items())
