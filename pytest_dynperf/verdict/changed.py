"""What provenance shows to differ: versions first, then arguments and configuration, then the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.environment import differences
from pytest_dynperf.verdict.stage import RECORDED
from pytest_dynperf.verdict.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSIONS = (".version", ".digest", ".image", ".revision", ".commit", ".dirty")
_HOST = ("hostname", "kernel", "python", "driver", "cuda", "client.", "cpu.", "gpu.", "host.", "clock")
_GIVEN = (".args", "dynperf.set")
"""Recorded only where given, so that a side without them had none. A name of another kind that one side lacks was not recorded there."""

_SENTENCES = (
    "another version than in {other}: look at what changed between the two",
    "other arguments or another configuration than in {other}: look at what they do",
    "another host than in {other}, or another state of it: rule it out",
)


def recorded_changes(ours: Mapping[str, str], theirs: Mapping[str, str], other: str) -> tuple[Suspicion, ...]:
    """Names whose text differs, in the order above and then by name; empty where nothing is known of the ``other`` side."""
    if not ours or not theirs:
        return ()
    changes = [
        Suspicion(
            what=RECORDED,
            sentence=_SENTENCES[_rank(name)].format(other=other),
            name=name,
            text_before=before,
            text_now=now,
        )
        for name, (now, before) in differences(ours, theirs).items()
        if _is_change(name, before, now)
    ]
    return tuple(sorted(changes, key=lambda change: _rank(change.name or "")))


def _rank(name: str) -> int:
    if name.endswith(_VERSIONS):
        return 0
    return 2 if name.startswith(_HOST) else 1


def _is_change(name: str, before: str | None, now: str | None) -> bool:
    if before is None or now is None:
        return name.endswith(_GIVEN)
    return not (before.startswith("unknown") or now.startswith("unknown"))
