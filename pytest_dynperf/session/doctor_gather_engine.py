"""The doctor looks at the container engine: what it is, what it can hand out, which images and which containers of ours it has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dynperf.deployment.container_engine import connect, describe_image, translated
from pytest_dynperf.deployment.sweep import LABELS
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.doctor_facts import EngineFacts, NoEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.deployment.container_engine import Engine


def look_at_engine(
    images: Sequence[str], environ: Mapping[str, str]
) -> tuple[EngineFacts | NoEngine, Mapping[str, str], Mapping[str, str]]:
    """The engine, and its containers and networks of ours: name to session. Fetches nothing. 0.3 s, a minute where it does not answer."""
    try:
        engine = connect(environ)
    except DeploymentError as error:
        return NoEngine(reason=str(error)), {}, {}
    except ImportError:
        return NoEngine(reason='the Python package docker is not installed. Install it: pip install "docker>=7.1"'), {}, {}
    try:
        with translated(f"the container engine at {engine.path}"):
            told = dict(engine.client.info())
        return _facts(engine, told, images), _ours(engine, "containers"), _ours(engine, "networks")
    except DeploymentError as error:
        return NoEngine(reason=str(error)), {}, {}
    finally:
        engine.close()


def gpus_by(told: Mapping[str, Any], hook: str | None) -> str | None:
    """By what an engine that says ``told`` of itself can hand out GPUs. ``hook``: where NVIDIA's runtime hook was found."""
    if "nvidia" in (told.get("Runtimes") or {}):
        return "runtime nvidia"
    devices = [str(one.get("ID", "")) for one in told.get("DiscoveredDevices") or () if isinstance(one, dict)]
    cdi = [one for one in devices if one.startswith("nvidia.com/gpu")]
    if cdi:
        return f"CDI, {len(cdi)} devices nvidia.com/gpu"
    return None if hook is None else f"runtime hook {hook}"


def _facts(engine: Engine, told: Mapping[str, Any], images: Sequence[str]) -> EngineFacts:
    root = str(told.get("DockerRootDir") or "")
    free: int | Absent
    try:
        free = shutil.disk_usage(root).free if Path(root).is_dir() else Absent(f"{root or 'its directory'} is not visible here")
    except OSError as error:
        free = Absent(error.strerror or str(error))
    return EngineFacts(
        path=engine.path,
        version=engine.version,
        api=engine.api,
        gpus=gpus_by(told, shutil.which("nvidia-container-runtime-hook")),
        images={image: _identity(describe_image(engine, image)) for image in images},
        root=root,
        root_free_bytes=free,
    )


def _identity(described: Mapping[str, Any] | None) -> str | None:
    if described is None:
        return None
    digests = described.get("RepoDigests") or ()
    digest = str(digests[0]).partition("@")[2] if digests else ""
    size = f", {int(described.get('Size') or 0) / 2**30:.1f} GiB"
    return (digest or f"local {described.get('Id', 'unknown')}")[:26] + size


def _ours(engine: Engine, kind: str) -> dict[str, str]:
    with translated(f"listing {kind}"):
        wanted = {"label": LABELS[0]}
        found = engine.client.containers(all=True, filters=wanted) if kind == "containers" else engine.client.networks(filters=wanted)
    named = {}
    for one in found:
        names = one.get("Names") or [one.get("Name") or one["Id"][:12]]
        named[str(names[0]).lstrip("/")] = str((one.get("Labels") or {}).get(LABELS[0], ""))
    return named
