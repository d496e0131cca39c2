"""What a scenario.toml says, checked key by key and not yet merged with a platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.scenario.expectation import Gate
    from pytest_dynperf.scenario.keys import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The tables ``topology``, ``traffic``, ``axes``, ``expect`` and ``fault`` of one source, by dotted key (``topology.worker.count``).

    ``axis_variables`` maps an axis to the environment variable that replaces its values. Empty ``gates``: this layer leaves them as they
    are. No key stands in both ``values`` and ``axes``.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    axes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    axis_variables: Mapping[str, str] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``suite`` is the name of the folder that holds ``file``. ``platforms`` has what differs per platform, by platform name; ``skips`` why
    one cannot answer the question. ``arms`` are the sides of an on/off question, in their order, and ``platform_arms`` what differs in them
    per platform.
    """

    suite: str
    file: str
    question: str
    layer: Layer
    platforms: Mapping[str, Layer] = field(default_factory=dict)
    skips: Mapping[str, str] = field(default_factory=dict)
    arms: Mapping[str, Layer] = field(default_factory=dict)
    platform_arms: Mapping[str, Mapping[str, Layer]] = field(default_factory=dict)
