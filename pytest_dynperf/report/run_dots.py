"""The runs of a cell as dots on one axis, above them the baseline's sessions or the control's runs. Pure, inline SVG, colours by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from pytest_dynperf.report.chart import axis_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _FOOT = 330.0, 78.0, 12.0, 26.0, 6.0, 22.0
_JITTER = (0.0, -5.0, 5.0, -2.5, 2.5)
"""Offsets in height, in turn, so that equal runs do not hide each other."""
_LEAST_SPAN = 0.01


def run_dots(rows: Sequence[tuple[str, str, Sequence[float], float | None]], *, unit: str, words: str) -> Markup:
    """``rows`` are (name, class, values, median or what stands for the row); values in ``unit``. Rows without values are left out.

    :raises ValueError: when no row has a value: a drawing of nothing must not be made.
    """
    rows = [row for row in rows if row[2]]
    if not rows:
        msg = "dots need at least one value"
        raise ValueError(msg)
    values = [value for _, _, found, line in rows for value in (*found, *([] if line is None else [line]))]
    low, high = min(values), max(values)
    room = max(high - low, abs(high) * _LEAST_SPAN, 1e-9) * 0.08
    low, high = low - room, high + room
    height = _TOP + _ROW * len(rows) + _FOOT

    def at(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    bottom = _TOP + _ROW * len(rows)
    parts = [
        Markup('<svg class="dots" role="img" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" height="{:.0f}"><title>{}</title>').format(
            _WIDTH, height, _WIDTH, height, words
        )
    ]
    for tick, text in axis_ticks(low, high):
        parts.append(
            Markup(
                '<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
                '<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
            ).format(at(tick), _TOP, bottom, bottom + 14, text)
        )
    parts.append(Markup('<text class="tick" x="0" y="{}">{}</text>').format(bottom + 14, unit))
    for place, (name, kind, found, line) in enumerate(rows):
        middle = _TOP + _ROW * (place + 0.5)
        parts.append(Markup('<g class="{}"><text x="0" y="{:.1f}">{}</text>').format(kind, middle + 4, name))
        if line is not None:
            parts.append(
                Markup('<line class="middle" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
                    at(line), middle - 11, middle + 11
                )
            )
        parts += [
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.4"/>').format(at(value), middle + _JITTER[index % len(_JITTER)])
            for index, value in enumerate(found)
        ]
        parts.append(Markup("</g>"))
    return Markup("").join([*parts, Markup("</svg>")])
