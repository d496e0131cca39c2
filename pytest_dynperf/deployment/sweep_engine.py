"""The container engine as :mod:`pytest_dynperf.deployment.sweep` sees it, where there is one."""

from __future__ import annotations

import contextlib
import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.sweep import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import docker

ANSWER_S = 2.0
"""An engine that takes longer is left alone: sweeping up must not keep anybody waiting."""


def local_engine() -> DockerEngine | None:
    """The engine behind a Unix socket of this host; ``None`` where the SDK is missing or nothing answers within 2 s. One that is reached
    over a network is left alone: what its other clients started at another boot of another machine is not dead.
    """
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not address.startswith("unix://") or not _is_socket(Path(address.removeprefix("unix://"))) or find_spec("docker") is None:
        return None
    import docker

    try:
        client = docker.DockerClient(base_url=address, timeout=ANSWER_S)
        client.ping()
    except (docker.errors.DockerException, OSError):
        return None
    return DockerEngine(client)


class DockerEngine:
    """An engine through the SDK. Its errors are ``OSError`` here, that a container is gone is none."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def containers(self) -> Mapping[str, Mapping[str, str]]:
        """Id to labels."""
        with _as_os_error():
            found = self._client.api.containers(all=True, filters={"label": LABELS[0]})
            return {str(one["Id"]): dict(one.get("Labels") or {}) for one in found}
        return {}

    def networks(self) -> Mapping[str, Mapping[str, str]]:
        """Id to labels."""
        with _as_os_error():
            found = self._client.api.networks(filters={"label": LABELS[0]})
            return {str(one["Id"]): dict(one.get("Labels") or {}) for one in found}
        return {}

    def remove_container(self, container: str) -> None:
        """As :meth:`~pytest_dynperf.deployment.sweep.Engine.remove_container`."""
        with _as_os_error():
            self._client.api.remove_container(container, force=True, v=True)

    def remove_network(self, network: str) -> None:
        """As :meth:`~pytest_dynperf.deployment.sweep.Engine.remove_network`."""
        with _as_os_error():
            self._client.api.remove_network(network)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    from docker.errors import APIError, DockerException, NotFound

    try:
        yield
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # somebody else is removing it already
            raise OSError(str(error)) from error
    except DockerException as error:
        raise OSError(str(error)) from error


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
