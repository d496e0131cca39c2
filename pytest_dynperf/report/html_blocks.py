"""Which cases stand in the markup in full, and what is packed for the script to unpack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.report.html_pack import courses, drawings, line_count, packed, raw, share
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2.environment import TemplateModule
    from markupsafe import Markup

    from pytest_dynperf.report.html_views import CaseView

INLINE = 40
"""A page of so many cases has all of them in the markup. Of more, those that need somebody are there, up to this number."""
_TOGETHER = 8
"""Cases in one block: they resemble each other, so together they need half the space, and unpacking eight takes some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """``panels`` holds the markup of each case by anchor, ``None`` where it is packed. ``packs`` are the anchors of a block, with a space
    between them, and its data. ``draws``: at least one case is drawn over time.
    """

    panels: dict[str, Markup | None]
    packs: tuple[tuple[str, str], ...]
    draws: bool


def blocks_of(views: Sequence[CaseView], module: TemplateModule) -> Blocks:
    """``module`` has the macros ``panel`` and ``rest`` of a case. The lines of all cases share the points of the page."""
    drawn = {view.anchor: courses(view) for view in views}
    buckets = share([line_count(course) for course in drawn.values()])
    large = len(views) > INLINE
    panels: dict[str, Markup | None] = {}
    contents: list[tuple[str, dict[str, object]]] = []
    for view in views:
        stands = not large or (_needs_somebody(view) and sum(panel is not None for panel in panels.values()) < INLINE)
        course = drawings(drawn[view.anchor], buckets)
        rest: Markup = module.rest(view, not large)  # type: ignore[attr-defined]
        apart = large and stands
        panel: Markup = module.panel(view, bool(course), buckets, None if apart else rest)  # type: ignore[attr-defined]
        panels[view.anchor] = panel if stands else None
        content: dict[str, object] = {
            "html": None if stands else str(panel),
            "rest": str(rest) if apart else None,
            "course": course,
            "raw": raw(view),
        }
        contents.append((view.anchor, content))
    packs = [contents[place : place + _TOGETHER] for place in range(0, len(contents), _TOGETHER)]
    return Blocks(
        panels=panels,
        packs=tuple((" ".join(anchor for anchor, _ in pack), packed(pack)) for pack in packs),
        draws=any(drawn.values()),
    )


def _needs_somebody(view: CaseView) -> bool:
    return view.has_card or view.result.verdict.outcome not in (Outcome.UNCHANGED, Outcome.IMPROVED)
