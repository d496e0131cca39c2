"""The container engine as tests use it: reached or said to be missing, images made in it, what tests left there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dynperf.deployment.container_spec import SESSION_LABEL
from pytest_dynperf.deployment.session_lock import is_alive
from tests.images.archive import write_archive
from tests.images.recipe import LABEL, REPOSITORY, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from docker import DockerClient

    from tests.images.recipe import Recipe

KEEP = "dynperf-test.keep"
"""Label of what no test may look at or remove, for trials by hand beside running tests."""
TIMEOUT_S = 600
"""For one answer of the engine; unpacking the largest image takes seconds, and a minute on a slow disk."""


class EngineMissing(Exception):
    """No engine answers; the message says why, and what to do."""


class ImageError(Exception):
    """The engine did not make an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that the engine has. ``image_id`` is ``sha256:…``, the digest of its configuration: what a local image is pinned by.

    ``made`` is False when it was there already. ``size_bytes`` is unpacked, ``took_s`` the time to make or find it.
    """

    name: str
    reference: str
    image_id: str
    size_bytes: int
    made: bool
    took_s: float


def connect() -> DockerClient:
    """A client of the engine that ``DOCKER_HOST`` names, by default that of this machine.

    :raises EngineMissing: when the SDK is not installed, nothing answers, or this user may not ask.
    """
    try:
        import docker
        from requests.exceptions import RequestException
    except ImportError as error:
        msg = f'the docker package cannot be imported ({error}): pip install "pytest-dynperf[container]"'
        raise EngineMissing(msg) from None
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        # The SDK leaves its socket open when nothing listens, which a strict pytest reports in whatever test comes next.
        if where.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(where.removeprefix("unix://"))
        client = docker.DockerClient.from_env(timeout=TIMEOUT_S)
    except (docker.errors.DockerException, RequestException, OSError) as error:
        remedy = "add this user to the group docker" if "Permission denied" in str(error) else "start one, or name it in DOCKER_HOST"
        msg = f"no container engine answers at {where} ({error}): {remedy}"
        raise EngineMissing(msg) from None
    return client


def build(client: DockerClient, recipe: Recipe) -> Image:
    """The image of ``recipe``, made when the engine has none with its key. Two that ask at once make one.

    :raises ImageError: when the engine refuses it.
    """
    began = time.monotonic()
    with turn("build"):
        found = _find(client, recipe.reference)
        if found is None:
            _import(client, recipe)
            found = _find(client, recipe.reference)
            if found is None:
                msg = f"the engine took {recipe.reference} and does not have it"
                raise ImageError(msg)
            return _image(recipe, found, made=True, began=began)
    return _image(recipe, found, made=False, began=began)


def build_all(client: DockerClient, *, told: Callable[[Image], None] = lambda _: None) -> dict[str, Image]:
    """All images by their recipe's name, each also tagged ``latest``, as the platform ``mocker`` calls it; ``told`` hears of each."""
    images = {}
    for name, recipe in recipes().items():
        images[name] = build(client, recipe)
        client.api.tag(recipe.reference, recipe.reference.partition(":")[0], tag="latest")
        told(images[name])
    return images


def present(client: DockerClient) -> dict[str, str]:
    """Reference → image id of every image that was made here, of older keys too."""
    return {
        tag: str(image.id)
        for image in client.images.list(filters={"label": LABEL})
        for tag in image.tags
        if tag.startswith(f"{REPOSITORY}/")
    }


@contextlib.contextmanager
def turn(what: str) -> Iterator[None]:
    """One at a time on this machine, for this user: kernel locks, free when their holder dies.

    Whoever waits holds a place in the queue, so that who has just had a turn and wants the next one cannot overtake.
    """
    with _lock_file(f"{what}-queue") as queue, _lock_file(what) as taken:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(taken, fcntl.LOCK_EX)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield


@contextlib.contextmanager
def _lock_file(name: str) -> Iterator[int]:
    path = Path(tempfile.gettempdir()) / f"dynperf-test-{name}-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ours(client: DockerClient) -> frozenset[str]:
    """Every container (dead ones too), network and volume with ``dynperf`` in a label's key, as ``kind name``.

    Containers of the images that are made here count whoever started them: they inherit the labels of their image. What somebody else works
    with does not: what is labelled :data:`KEEP`, and what a session that is alive has started.
    """
    listed: list[tuple[str, list[dict[str, Any]]]] = [
        ("container", client.api.containers(all=True)),
        ("network", client.api.networks()),
        ("volume", client.api.volumes()["Volumes"] or []),
    ]
    return frozenset(f"{kind} {_name(one)}" for kind, several in listed for one in several if _counts(one.get("Labels") or {}))


def _counts(labels: Mapping[str, str]) -> bool:
    session = labels.get(SESSION_LABEL)
    leases = Path(f"/tmp/dynperf-leases-{os.getuid()}")
    return any("dynperf" in key for key in labels) and KEEP not in labels and not (session and is_alive(session, leases))


def remove(client: DockerClient, what: frozenset[str]) -> None:
    """Remove containers, then networks and volumes, as :func:`ours` names them. What has gone meanwhile is no error."""
    from docker.errors import NotFound

    for one in sorted(what):
        kind, name = one.split(" ", 1)
        with contextlib.suppress(NotFound):
            if kind == "container":
                client.api.remove_container(name, force=True, v=True)
            elif kind == "network":
                client.api.remove_network(name)
            else:
                client.api.remove_volume(name, force=True)


def _name(one: dict[str, Any]) -> str:
    names = one.get("Names")
    return str(names[0]).lstrip("/") if names else str(one.get("Name") or one["Id"])


def _find(client: DockerClient, reference: str) -> dict[str, Any] | None:
    from docker.errors import ImageNotFound

    try:
        return client.images.get(reference).attrs
    except ImageNotFound:
        return None


def _image(recipe: Recipe, found: dict[str, Any], *, made: bool, began: float) -> Image:
    took_s = time.monotonic() - began
    return Image(name=recipe.name, reference=recipe.reference, image_id=found["Id"], size_bytes=found["Size"], made=made, took_s=took_s)


def _import(client: DockerClient, recipe: Recipe) -> None:
    """Through a file, so that an entry that cannot be read stops before the engine has half an image."""
    repository, tag = recipe.reference.split(":")
    labels = [f'LABEL {name}="{value}"' for name, value in recipe.labels.items()]
    with tempfile.TemporaryFile() as archive:
        write_archive(recipe.entries(), archive)
        archive.seek(0)
        answer = client.api.import_image(src=archive, repository=repository, tag=tag, changes=[*recipe.changes, *labels])
    if '"error"' in answer:
        msg = f"the engine did not take {recipe.reference}: {answer.strip().splitlines()[-1]}"
        raise ImageError(msg)
