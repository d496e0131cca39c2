"""The container engine as :mod:`pytest_dynperf.deployment.sweep` sees it, where there is one."""

from __future__ import annotations

import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dynperf.deployment.sweep import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import docker

ANSWER_S = 2
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
        return _labels(_asked(lambda: self._client.api.containers(all=True, filters={"label": LABELS[0]})))

    def networks(self) -> Mapping[str, Mapping[str, str]]:
        """Id to labels."""
        return _labels(_asked(lambda: self._client.api.networks(filters={"label": LABELS[0]})))

    def remove_container(self, container: str) -> None:
        """As :meth:`~pytest_dynperf.deployment.sweep.Engine.remove_container`."""
        _asked(lambda: self._client.api.remove_container(container, force=True, v=True))

    def remove_network(self, network: str) -> None:
        """As :meth:`~pytest_dynperf.deployment.sweep.Engine.remove_network`."""
        _asked(lambda: self._client.api.remove_network(network))


def _labels(found: Any) -> dict[str, dict[str, str]]:
    return {str(one["Id"]): dict(one.get("Labels") or {}) for one in found or ()}


def _asked(question: Callable[[], Any]) -> Any:
    """The answer; ``None`` about what is gone, or is being removed by somebody else."""
    from docker.errors import APIError, DockerException

    try:
        return question()
    except APIError as error:
        if error.status_code in (404, 409):
            return None
        raise OSError(str(error)) from error
    except DockerException as error:
        raise OSError(str(error)) from error


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
