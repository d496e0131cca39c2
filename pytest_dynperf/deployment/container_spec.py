"""A service as a container, in plain data: the body of the engine's ``POST /containers/create``. Pure.

Hardened unless somebody asks for less aloud: no capabilities, no new privileges, a read-only root, bounds on processes, memory and logs,
ports on 127.0.0.1 alone. Words and fields are those of the Docker Engine API 1.41.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.deployment.service import Mount, ServiceSpec

VOLUME = "/dynperf"
"""Where each container has a volume of its own, which goes with it. All that services write lies below it."""
DIRECTORY = f"{VOLUME}/state"
"""What a ``Place`` of containers calls its directory."""

SESSION_LABEL = "org.pytest-dynperf.session"
MARK_LABEL = "org.pytest-dynperf.mark"
BOOT_LABEL = "org.pytest-dynperf.boot"

SENTINEL = "sentinel"
"""Last part of the name of the container that ends all others with its process; no service may be called so."""

PRIVILEGED, HOST_NETWORK, ENGINE_SOCKET = "privileged", "host-network", "engine-socket"
_SHELLS_OF_ROOT = {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF"}
_ENGINE_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """Whose a container is: the session, the mark of one start (its last 32 characters are random hexadecimal digits), and the boot of
    the host, so that a later session can tell what it may sweep up.
    """

    session: str
    mark: str
    boot: str

    @property
    def labels(self) -> dict[str, str]:
        """Labels of containers and networks. They hold nothing else: labels are shown to everybody."""
        return {SESSION_LABEL: self.session, MARK_LABEL: self.mark, BOOT_LABEL: self.boot}

    def name(self, service: str) -> str:
        """Name of the container of ``service``."""
        return f"{self.network}-{service}"

    @property
    def network(self) -> str:
        """Name of the private network."""
        return f"dynperf-{self.mark[-32:][:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """How services are held. ``memory_bytes`` bounds each container (it gets no swap beside it), ``cpus`` (such as 3.5) and ``cpuset``
    (``0-3,8``) what it may compute on, ``pids`` its threads, ``open_files`` its descriptors (``None``: as many as the engine gives).
    ``shm_bytes`` is the size of the ``/dev/shm`` that all share.

    ``host_config`` is laid over the engine's ``HostConfig`` of each service, key by key, for what a scenario needs besides (``Devices``,
    ``CapAdd``). ``allow`` names what is refused otherwise: ``privileged``, ``host-network``, ``engine-socket``.
    """

    memory_bytes: int | None = None
    cpus: float | None = None
    cpuset: str | None = None
    pids: int = 16384
    open_files: int | None = 65536
    shm_bytes: int = 8 << 30
    log_bytes: int = 10 << 20
    log_files: int = 2
    host_config: Mapping[str, object] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()

    @property
    def host_network(self) -> bool:
        """Whether services share the network of the host, and so its ports."""
        return self.host_config.get("NetworkMode") == "host"


def service_body(
    spec: ServiceSpec, *, birth: Birth, sentinel: str, settings: ContainerSettings, variables: Mapping[str, str]
) -> dict[str, object]:
    """The body that creates ``spec``, whose processes live and die with the container ``sentinel``. ``variables`` are added to its own.

    The image's environment holds where the service says nothing (``PATH``, library paths): it is part of the image. Its entry point
    and its health check do not: the one would change the command line, the other would run programs during a measurement.

    :raises DeploymentError: when it names no image, wants to write outside of its volume, or asks for what is refused.
    """
    _check(spec)
    host = {**_host_config(spec, birth=birth, sentinel=sentinel, settings=settings), **settings.host_config}
    body: dict[str, object] = {
        "Image": spec.image,
        "Entrypoint": [spec.argv[0]],
        "Cmd": list(spec.argv[1:]),
        "Env": [f"{name}={value}" for name, value in sorted({**_gpu_variables(spec), **spec.env, **variables}.items())],
        "WorkingDir": spec.working_directory,
        "Labels": birth.labels,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "HostConfig": host,
    }
    if settings.host_network:
        host.pop("PortBindings")
    else:
        body |= {
            "Hostname": spec.name,
            "ExposedPorts": {f"{port}/tcp": {} for port in sorted(spec.ports.values())},
            "NetworkingConfig": {"EndpointsConfig": {birth.network: {"Aliases": [spec.name]}}},
        }
    asked = [sentence for name, sentence in refusals(host) if name not in settings.allow]
    if asked:
        raise DeploymentError(f"service {spec.name} {asked[0]}")
    return body


def sentinel_body(argv: Sequence[str], *, image: str, birth: Birth, settings: ContainerSettings) -> dict[str, object]:
    """The body that creates the sentinel: ``argv`` answers each line of its standard input and ends with it, and then everything in its
    process namespace does.

    Its init reaps the orphans of all services: a container that joins a process namespace gets no init of its own.
    """
    return {
        "Image": image,
        "Entrypoint": [argv[0]],
        "Cmd": list(argv[1:]),
        "Labels": birth.labels,
        "WorkingDir": "/",
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            **_hardening(settings),
            "IpcMode": "shareable",
            "ShmSize": settings.shm_bytes,
            "NetworkMode": "none",
            "LogConfig": _logs(settings),
            "Ulimits": _ulimits(settings, gpus=False),
        },
    }


def network_body(birth: Birth) -> dict[str, object]:
    """The body that creates the group's private network."""
    return {"Name": birth.network, "Driver": "bridge", "CheckDuplicate": True, "Labels": birth.labels}


def archive(spec: ServiceSpec) -> bytes:
    """Directories and files of ``spec`` as a tar archive, relative to :data:`VOLUME`. Whoever the image runs as may write there: nobody
    else can reach the volume.
    """
    directories = {
        directory for path in (spec.working_directory, *spec.directories, *map(_parent, spec.files)) for directory in _above(path)
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(directories):
            header = tarfile.TarInfo(str(PurePosixPath(path).relative_to(VOLUME)))
            header.type, header.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(header)
        for path, text in sorted(spec.files.items()):
            content = text.encode()
            header = tarfile.TarInfo(str(PurePosixPath(path).relative_to(VOLUME)))
            header.size, header.mode = len(content), 0o644
            tar.addfile(header, io.BytesIO(content))
    return out.getvalue()


def refusals(host: Mapping[str, object]) -> list[tuple[str, str]]:
    """What a ``HostConfig`` asks for that is refused unless it is allowed: pairs of what it is called and a sentence about it."""
    found = []
    capabilities = {str(one).removeprefix("CAP_") for one in _items(host.get("CapAdd"))}
    if (
        host.get("Privileged")
        or capabilities & _SHELLS_OF_ROOT
        or any("unconfined" in str(option) for option in _items(host.get("SecurityOpt")))
        or any(host.get(mode) == "host" for mode in ("PidMode", "IpcMode", "UsernsMode"))
    ):
        found.append((PRIVILEGED, _refused(PRIVILEGED, "asks for privileges with which it can do to this host what root can")))
    if host.get("NetworkMode") == "host":
        found.append((HOST_NETWORK, _refused(HOST_NETWORK, "asks for the network of this host: its ports would be open to other machines")))
    sources = [str(mount.get("Source", "")) for mount in _items(host.get("Mounts")) if isinstance(mount, dict)]
    sources += [str(bind).partition(":")[0] for bind in _items(host.get("Binds"))]
    for source in sources:
        if source and any(PurePosixPath(socket).is_relative_to(PurePosixPath(source)) for socket in _ENGINE_SOCKETS):
            said = f"asks for {source} of this host, where the engine's socket is: who has it is root here"
            found.append((ENGINE_SOCKET, _refused(ENGINE_SOCKET, said)))
            break
    return found


def _refused(name: str, said: str) -> str:
    return f'{said}. Refused; if it is meant, say so: ContainerSettings(allow=frozenset({{"{name}"}}))'


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _check(spec: ServiceSpec) -> None:
    if spec.image is None:
        msg = f"service {spec.name} names no image, and a container needs one"
        raise DeploymentError(msg)
    if spec.name == SENTINEL:
        msg = f"a service cannot be called {SENTINEL}: that container ends all others"
        raise DeploymentError(msg)
    for path in (spec.working_directory, *spec.directories, *spec.files):
        pure = PurePosixPath(path)
        if not pure.is_relative_to(VOLUME) or pure == PurePosixPath(VOLUME) or ".." in pure.parts:
            msg = f"service {spec.name} wants to write {path}: in a container that must lie below {VOLUME}"
            raise DeploymentError(msg)


def _host_config(spec: ServiceSpec, *, birth: Birth, sentinel: str, settings: ContainerSettings) -> dict[str, object]:
    devices = [{"Driver": "", "Count": 0, "DeviceIDs": list(spec.gpus), "Capabilities": [["gpu"]], "Options": {}}]
    return {
        **_hardening(settings),
        **_limits(settings),
        "PidMode": f"container:{sentinel}",
        "IpcMode": f"container:{sentinel}",
        "NetworkMode": birth.network,
        "PortBindings": {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in sorted(spec.ports.values())},
        "Mounts": [{"Type": "volume", "Target": VOLUME}, *(_mount(mount) for mount in spec.mounts)],
        "LogConfig": _logs(settings),
        "Ulimits": _ulimits(settings, gpus=bool(spec.gpus)),
        **({"DeviceRequests": devices} if spec.gpus else {}),
    }


def _hardening(settings: ContainerSettings) -> dict[str, object]:
    return {
        "Init": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": settings.pids,
        "ReadonlyRootfs": True,
        # Compilers and loaders of engines put libraries into /tmp: it must be allowed to execute.
        "Tmpfs": {"/tmp": "rw,exec,nosuid,nodev,mode=1777", "/run": "rw,nosuid,nodev,mode=755"},  # noqa: S108 -- the container's own
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }


def _limits(settings: ContainerSettings) -> dict[str, object]:
    found: dict[str, object] = {}
    if settings.memory_bytes is not None:
        found |= {"Memory": settings.memory_bytes, "MemorySwap": settings.memory_bytes}
    if settings.cpus is not None:
        found["NanoCpus"] = round(settings.cpus * 1e9)
    if settings.cpuset is not None:
        found["CpusetCpus"] = settings.cpuset
    return found


def _ulimits(settings: ContainerSettings, *, gpus: bool) -> list[dict[str, object]]:
    limits = {"nofile": settings.open_files, **({"memlock": -1, "stack": 67108864} if gpus else {})}
    limits = {name: value for name, value in limits.items() if value is not None}
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in limits.items()]


def _logs(settings: ContainerSettings) -> dict[str, object]:
    options = {"max-size": str(settings.log_bytes), "max-file": str(settings.log_files)}
    return {"Type": "json-file", "Config": options}


def _mount(mount: Mount) -> dict[str, object]:
    return {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}


def _gpu_variables(spec: ServiceSpec) -> dict[str, str]:
    # Images of engines say "all", and where NVIDIA's is the default runtime that alone hands out every GPU.
    return {} if spec.gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _above(path: str) -> list[str]:
    """``path`` and the directories above it, below the volume."""
    pure = PurePosixPath(path)
    return [str(one) for one in (pure, *pure.parents) if one.is_relative_to(VOLUME) and one != PurePosixPath(VOLUME)]
