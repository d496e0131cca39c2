"""Fixtures for tests in containers; ``tests/system/conftest.py`` takes them in.

Without an engine such a test skips and says what is missing; where ``CI`` is ``true`` it fails, because there nothing may pass unseen.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.images.engine import EngineMissing, Image, build_all, connect, ours, remove, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

REMOVAL_DEADLINE_S = 15.0


def missing(reason: str) -> NoReturn:
    """Skip for want of an engine, or fail in CI."""
    sentence = f"needs a container engine: {reason}"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"{sentence} (CI is set: here this is no reason to skip)", pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """A client of the container engine."""
    try:
        client = connect()
    except EngineMissing as error:
        missing(str(error))
    yield client
    client.close()


@pytest.fixture(scope="session")
def test_images(engine: DockerClient) -> dict[str, Image]:
    """The images ``etcd``, ``nats``, ``nginx`` and ``dynamo``, made once: 40 s the first time, then a second."""
    return build_all(engine)


@pytest.fixture
def nothing_left(engine: DockerClient) -> Iterator[None]:
    """Proves that the test leaves no container, network or volume of ours behind; tests that ask for it take turns on this machine.

    What is left fails the test, and is removed so that the next one begins clean.
    """
    with turn("containers"):
        before = ours(engine)
        yield
        if left := _left(engine, before):
            remove(engine, left)
            pytest.fail(f"left behind in the container engine: {', '.join(sorted(left))}", pytrace=False)


def _left(engine: DockerClient, before: frozenset[str]) -> frozenset[str]:
    """What has come since ``before`` and is not gone by the deadline: an engine removes in its own time."""
    deadline = time.monotonic() + REMOVAL_DEADLINE_S
    while (left := ours(engine) - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
