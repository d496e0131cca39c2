"""Which documents of one key take part in a comparison: the ten newest of the newest epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_dynperf.baseline.document import Baseline

RING = 10
"""Documents of one key that take part in a comparison."""

Key = tuple[tuple[str, str], ...]


def key_of(document: Baseline) -> Key:
    """The binding key as something to group by."""
    return tuple(sorted(document.key.items()))


def age(document: Baseline) -> tuple[str, str, str]:
    """Sorts documents from the oldest to the newest, the same on every machine."""
    return document.stamp, document.session_id, document.environment_name


def ring_of(same_key: Sequence[Baseline]) -> tuple[Baseline, ...]:
    """Of documents of one key, oldest first: those that take part, oldest first."""
    newest_epoch = max((document.epoch for document in same_key), default=0)
    return tuple(document for document in same_key if document.epoch == newest_epoch)[-RING:]


T = TypeVar("T")


def grouped(documents: Iterable[tuple[T, Baseline]]) -> dict[Key, list[tuple[T, Baseline]]]:
    """Documents with whatever goes with each, by key, oldest first."""
    groups: dict[Key, list[tuple[T, Baseline]]] = {}
    for entry in sorted(documents, key=lambda entry: age(entry[1])):
        groups.setdefault(key_of(entry[1]), []).append(entry)
    return groups
