"""The container engine of this host: its socket, its version, its images, and a container's standard streams.

Over the Docker SDK, with two exceptions: attaching is an upgraded HTTP connection of our own, because the plugin must hold that socket
itself (its end is the end of all containers), and the reaper speaks to the socket without any package.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dynperf.deployment.container_words import in_words, is_port_taken
from pytest_dynperf.deployment.ports import PortTaken
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.secret import NONE, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docker import APIClient

    from pytest_dynperf.secret import Secrets

OLDEST_API = (1, 41)
"""Of Docker 20.10."""
SYSTEM_SOCKET = "/var/run/docker.sock"
ANSWER_S = 60.0
_STREAM_BYTES = 1 << 16
_START_HINT = "Is it running (`systemctl start docker`)? Without one, stacks of processes need none: --dynperf-launcher=process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A container engine that answers. ``path`` is its socket, ``version`` and ``api`` are what it calls itself."""

    client: APIClient
    path: str
    version: str
    api: str

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def socket_path(environ: Mapping[str, str]) -> str:
    """The engine's socket: that of ``DOCKER_HOST``, else the system's, else that of a rootless engine where there is one.

    :raises DeploymentError: when ``DOCKER_HOST`` is no socket of this host: ports could not be published here.
    """
    asked = environ.get("DOCKER_HOST", "")
    if asked.startswith("unix://"):
        return asked.removeprefix("unix://")
    if asked:
        scheme = asked.partition("://")[0]
        msg = (
            f"DOCKER_HOST names an engine over {scheme}, and containers are started by the engine of this host alone: services are reached "
            f"at 127.0.0.1. Set DOCKER_HOST=unix:///path/of/the.sock, or unset it"
        )
        raise DeploymentError(msg)
    rootless = f"{environ.get('XDG_RUNTIME_DIR', '')}/docker.sock"
    return rootless if not Path(SYSTEM_SOCKET).exists() and Path(rootless).exists() else SYSTEM_SOCKET


def connect(environ: Mapping[str, str] | None = None) -> Engine:
    """The engine of this host, asked for its version. About 10 ms; importing the SDK takes 0.2 s once.

    :raises DeploymentError: when there is none, it may not be used, does not answer, or is older than Docker 20.10.
    """
    path = socket_path(os.environ if environ is None else environ)
    _knock(path)
    from docker import APIClient

    with translated(f"the container engine at {path}"):
        client = APIClient(base_url=f"unix://{path}", version="auto", timeout=int(ANSWER_S))
    try:
        with translated(f"the container engine at {path}"):
            told = client.version()
        api = _new_enough(str(told.get("ApiVersion", "")), path)
    except BaseException:
        client.close()
        raise
    # Podman tells its own version among the components, and Docker's API version at the top.
    names = [str(one.get("Name", "")) for one in told.get("Components") or () if isinstance(one, dict)]
    kind = "podman" if any("podman" in name.lower() for name in names) else "docker"
    return Engine(client=client, path=path, version=f"{kind} {told.get('Version', 'unknown')}", api=api)


def _new_enough(api: str, path: str) -> str:
    if _numbers(api) < OLDEST_API:
        msg = f"the container engine at {path} speaks API {api or 'unknown'}: 1.41 (Docker 20.10) is needed. Update it."
        raise DeploymentError(msg)
    return api


def _knock(path: str) -> None:
    """Connect once: the kernel tells what is wrong more exactly than any layer above it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5.0)
        try:
            probe.connect(path)
        except FileNotFoundError:
            raise DeploymentError(f"there is no container engine: {path} does not exist. {_START_HINT}") from None
        except PermissionError:
            msg = (
                f"{path} may not be used by this user (uid {os.getuid()}). Have the user added to its group (usually `docker`), which is "
                f"as good as being root, or run a rootless engine and set DOCKER_HOST"
            )
            raise DeploymentError(msg) from None
        except OSError as error:
            raise DeploymentError(f"no container engine answers at {path}: {error.strerror or error}. {_START_HINT}") from None


def create_container(engine: Engine, body: Mapping[str, object], name: str) -> str:
    """Create a container from the API's own body; its id. Errors are the SDK's: see :func:`translated`."""
    return str(engine.client.create_container_from_config(body, name)["Id"])  # type: ignore[no-untyped-call] # the stubs lack it


@contextlib.contextmanager
def translated(what: str, secrets: Secrets = NONE) -> Iterator[None]:
    """Errors of the SDK and of its transport as ours: ``what`` was being done, what the engine says without ``secrets``, what to do.

    :raises PortTaken: when somebody else has a port.
    :raises DeploymentError: for everything else.
    """
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, OSError) as error:
        if isinstance(error, APIError):
            text = str(error.explanation or error)
            kind = PortTaken if is_port_taken(text) else DeploymentError
            raise kind(redact(f"{what}: {in_words(text)}", secrets)) from None
        text = f"{what}: the container engine does not answer any more ({' '.join(str(error).split())}). {_START_HINT}"
        raise DeploymentError(redact(text, secrets)) from error


def describe_image(engine: Engine, image: str) -> dict[str, Any] | None:
    """What the engine knows of ``image``; ``None`` when it has none of that name. Never fetches it.

    :raises DeploymentError: when the engine does not answer.
    """
    from docker.errors import ImageNotFound, NotFound

    with translated(f"looking for the image {image}"):
        try:
            described: dict[str, Any] = engine.client.inspect_image(image)  # type: ignore[no-untyped-call] # the stubs lack it
        except (ImageNotFound, NotFound):
            return None
        return described


def run_inside(engine: Engine, container: str, argv: Sequence[str]) -> str | None:
    """Standard output of a short program in a running container, stripped; ``None`` when it is missing or fails.

    :raises DeploymentError: when the engine does not answer.
    """
    from docker.errors import APIError

    with translated(f"running {argv[0]} in a container"):
        try:
            made = engine.client.exec_create(container, list(argv), stderr=False)
            output = engine.client.exec_start(made["Id"])
            if engine.client.exec_inspect(made["Id"])["ExitCode"] != 0:
                return None
        except APIError:
            return None
    return bytes(output).decode("utf-8", "replace").strip()


def attach(engine: Engine, container: str, *, stdin: bool) -> socket.socket:
    """A connection to the standard output and error of a container that is not started yet, so that nothing is lost; and to its standard
    input (``stdin``). Blocking, without a time limit; whoever asks closes it.

    :raises DeploymentError: when the engine refuses.
    """
    streams = "stdout=1&stderr=1&stdin=1" if stdin else "stdout=1&stderr=1"
    request = (
        f"POST /v{engine.api}/containers/{container}/attach?stream=1&{streams} HTTP/1.1\r\n"
        f"Host: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _upgrade(connection, engine.path, request.encode())
    except OSError as error:
        connection.close()
        msg = f"the container engine at {engine.path} does not answer any more ({error.strerror or error}). {_START_HINT}"
        raise DeploymentError(msg) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: socket.socket, path: str, request: bytes) -> None:
    connection.settimeout(ANSWER_S)
    connection.connect(path)
    connection.sendall(request)
    answer = bytearray()
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows the head belongs to the container.
        byte = connection.recv(1)
        if not byte:
            break
        answer += byte
    if answer.split(b" ", 2)[1:2] not in ([b"101"], [b"200"]):
        said = answer.split(b"\r\n", 1)[0].decode("utf-8", "replace")
        msg = f"the container engine at {path} refuses a container's streams: {said or 'it closed the connection'}"
        raise DeploymentError(msg)
    connection.settimeout(None)


def frames(connection: socket.socket) -> Iterator[bytes]:
    """What a container writes to standard output and error, in its order, until it ends. The engine puts eight bytes before each piece:
    the stream, three zeros, and the length.
    """
    while (head := _exactly(connection, 8)) is not None:
        left = int.from_bytes(head[4:], "big")
        while left:
            piece = connection.recv(min(left, _STREAM_BYTES))
            if not piece:
                return
            left -= len(piece)
            yield piece


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        piece = connection.recv(count - len(found))
        if not piece:
            return None
        found += piece
    return found


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (0,)
