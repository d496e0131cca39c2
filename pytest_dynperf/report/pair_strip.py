"""The pairs of a duet as a strip: one dot per pair around zero. Pure, inline SVG, colours by class as in ``chart``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _STEP, _MARGIN, _FOOT = 260.0, 9.0, 6.0, 18.0
_RADIUS = 3.2
_USUAL = 0.9
"""This share of the pairs, the nearest to zero, is on the axis."""
_LEAST = 1e-3


def pair_strip(differences: Sequence[tuple[float, str]], *, tolerance: float, tolerance_text: str, kind: str, words: str) -> Markup:
    """The first pair on top, worse to the right. ``differences`` are places (logarithms, + is worse) and their texts; ``tolerance`` on the
    same axis, shaded with a line at either end. A dot beyond the axis is an arrow at its edge. ``words`` say what the drawing shows.

    :raises ValueError: without a pair: a drawing of nothing must not be made.
    """
    if not differences:
        msg = "a strip needs at least one pair"
        raise ValueError(msg)
    extent = _extent([place for place, _ in differences], tolerance)
    body = 2 * _MARGIN + _STEP * (len(differences) - 1) + 2 * _RADIUS
    height = body + _FOOT
    left, right = _at(-tolerance, extent), _at(tolerance, extent)
    parts = [
        Markup('<svg class="strip {}" role="img" viewBox="0 0 {} {:.1f}" width="{}" height="{:.0f}"><title>{}</title>').format(
            kind, _WIDTH, height, _WIDTH, height, words
        ),
        Markup('<rect class="band" x="{:.1f}" y="0" width="{:.1f}" height="{:.1f}"/>').format(left, right - left, body),
        *(
            Markup('<line class="{0}" x1="{1:.1f}" x2="{1:.1f}" y1="0" y2="{2:.1f}"/>').format(name, at, body)
            for name, at in (("tolerance", left), ("zero", _at(0, extent)), ("tolerance", right))
        ),
        *(_dot(place, text, _MARGIN + _RADIUS + _STEP * number, extent) for number, (place, text) in enumerate(differences)),
        Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(right, height - 5, tolerance_text),
        Markup(
            '<text class="tick" x="0" y="{0:.1f}">← better</text><text class="tick" x="{1}" y="{0:.1f}" text-anchor="end">worse →</text>'
        ).format(height - 5, _WIDTH),
    ]
    return Markup("").join([*parts, Markup("</svg>")])


def _extent(places: Sequence[float], tolerance: float) -> float:
    """As far as the usual pairs reach, so that one which is far out does not squeeze the others: it becomes an arrow."""
    usual = sorted(abs(place) for place in places)[: max(1, round(len(places) * _USUAL))]
    return max(usual[-1] * 1.25, tolerance * 1.6, _LEAST)


def _dot(place: float, text: str, y: float, extent: float) -> Markup:
    x = _at(place, extent)
    title = Markup("<title>{}</title>").format(text)
    if abs(place) <= extent:
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}">{}</circle>').format(x, y, _RADIUS, title)
    tip = 5 if place > 0 else -5
    return Markup('<polygon points="{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}">{}</polygon>').format(
        x - tip, y - 4, x, y, x - tip, y + 4, title
    )


def _at(value: float, extent: float) -> float:
    """Place on the strip; beyond the axis its edge."""
    inside = max(-extent, min(extent, value))
    return _WIDTH / 2 + inside / extent * (_WIDTH / 2 - 1 - _RADIUS)
