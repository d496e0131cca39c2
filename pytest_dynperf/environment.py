"""Facts that may explain a difference between two measurements, and the subset that binds comparability."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GPU_SOURCE, FAKE = "gpu_source", "fake"
"""Key of provenance, and its value where no driver of the kernel stands behind what was said of the GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """``key`` binds: two measurements whose keys differ are incomparable. ``provenance`` explains: it is what may be under test.

    Both map a dotted name (``cpu.model``, ``dynamo.version``) to text. ``platform`` is the name that ``--gpu`` picked.
    ``may_be_baseline`` is false where the environment cannot be identified (an attached endpoint that nobody named) or its GPUs are fake.
    """

    platform: str
    key: Mapping[str, str]
    provenance: Mapping[str, str]
    may_be_baseline: bool = True

    @property
    def refused_as_baseline(self) -> str | None:
        """Why nothing that is measured here can become a baseline, and what to do; ``None`` where it can."""
        if self.provenance.get(GPU_SOURCE) == FAKE:
            why = self.provenance.get(f"{GPU_SOURCE}.why")
            return f"its GPUs are not real (gpu_source: fake{f'; {why}' if why else ''}): measure on a machine with a driver"
        return None if self.may_be_baseline else "the endpoint's environment is unknown: name it with --dynperf-environment"

    @property
    def name(self) -> str:
        """Directory name: readable, and different whenever the key differs (``mocker-xeon-2cpu-1a2b3c4d``)."""
        digest = hashlib.sha256(json.dumps(dict(self.key), sort_keys=True).encode()).hexdigest()[:8]
        hint = self.key.get("name") or self.key.get("gpu.sku") or self.key.get("cpu.model", "")
        slug = re.sub(r"[^a-z0-9]+", "-", hint.lower()).strip("-")[:40].strip("-")
        return "-".join(part for part in (self.platform, slug, digest) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """More of an environment: names and texts, as :class:`Environment` has them."""

    key: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Names whose text differs, as ``(ours, theirs)``; ``None`` where a side lacks the name. Sorted by name."""
    return {name: (ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)}
