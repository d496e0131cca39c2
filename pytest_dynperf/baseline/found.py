"""What memory holds of a case: the documents that may be compared with, and those of other circumstances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.environment import differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.baseline.document import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """``documents``: same key, newest epoch, at most the ten newest, oldest first. ``others``: every document of the case under another
    key, oldest first. ``anchor``: the document under the same key, of whatever epoch, that people marked as the one to measure drift
    against; it may be among ``documents`` or older than all of them.
    """

    documents: tuple[Baseline, ...] = ()
    others: tuple[Baseline, ...] = ()
    anchor: Baseline | None = None


def difference(found: Found, key: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Names of the key entries that keep the closest other document from being compared, as ``(ours, theirs)``, sorted by name.

    Closest: the fewest differing names, the newest of equals. Empty where there is no other document.
    """
    candidates = [differences(key, document.key) for document in reversed(found.others)]
    return min(candidates, key=len, default={})
