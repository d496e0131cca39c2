"""The baseline sessions of a cell and now, as a line as small as a word. Pure, inline SVG, colours by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT, _MARGIN = 84.0, 22.0, 4.0
_LEAST_SPAN = 0.02
"""The axis is at least this share of the value high: noise of a per mille must not look like an event."""


def sparkline(history: Sequence[float], now: float | None, *, kind: str, words: str) -> Markup:
    """``history`` oldest first, then ``now`` as a dot of the class ``kind``; the value itself upwards. Empty without history.

    ``words`` say what it shows.
    """
    if not history:
        return Markup("")
    values = [*history, *([] if now is None else [now])]
    low, high = min(values), max(values)
    middle, span = (low + high) / 2, max(high - low, abs(high) * _LEAST_SPAN, 1e-12)
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(values) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        return _MARGIN + step * index, _HEIGHT / 2 - (value - middle) / span * (_HEIGHT - 2 * _MARGIN)

    points = " ".join("{:.0f},{:.1f}".format(*place(index, value)) for index, value in enumerate(values))
    parts = [
        Markup('<svg class="spark {}" role="img" viewBox="0 0 {:.0f} {:.0f}"><title>{}</title>').format(kind, _WIDTH, _HEIGHT, words),
        Markup('<polyline points="{}"/>').format(points),
    ]
    if now is not None:
        parts.append(Markup('<circle cx="{:.0f}" cy="{:.1f}" r="3"/>').format(*place(len(values) - 1, now)))
    return Markup("").join([*parts, Markup("</svg>")])
