"""A service as a value: what to start, and how to see that it is ready. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INFRASTRUCTURE = ("etcd", "nats")
"""Roles that start first and stop last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyCheck:
    """Ready when ``GET url`` answers 200. Necessary, not sufficient: Dynamo's frontend answers 200 without a single worker."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One process. ``env`` is its whole environment: nothing is inherited.

    ``role`` is ``etcd``, ``nats``, ``frontend``, ``worker``, ``prefill`` or ``decode``; ``name`` is unique within a deployment.
    ``ports`` maps a purpose (``client``, ``monitor``, ``http``, ``system``) to the port on 127.0.0.1. ``working_directory`` and
    ``directories`` are made before the start, ``files`` (path to text) are written.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ports: Mapping[str, int]
    ready: ReadyCheck
    working_directory: str
    directories: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
