"""Charts as one SVG file that stands alone: a grid with titles, and the colours that a report's style sheet would give. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from pytest_dynperf.report.chart import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.report.chart import Chart

_COLUMNS = 2
_WIDTH, _HEIGHT, _TITLE, _GAP = 460, 270, 24, 20
_STYLE = Markup(
    "svg{overflow:visible}text{fill:#1b1d21;font:12px system-ui,sans-serif}.sheet,.title{font-size:13px;font-weight:600}"
    ".sheet{font-size:15px}.tick,.axis{fill:#595f69;font-size:11.5px}.grid{stroke:#d9dadd}.median{fill:none;stroke-width:1.8}"
    ".s0{fill:#0b62b0;stroke:#0b62b0}.s1{fill:#b04a00;stroke:#b04a00}.s2{fill:#00775c;stroke:#00775c}.s3{fill:#97317f;stroke:#97317f}"
    ".s4{fill:#6b5b00;stroke:#6b5b00}.s5{fill:#4d5560;stroke:#4d5560}g text{stroke:none}"
)


def draw_sheet(title: str, charts: Sequence[Chart]) -> str:
    """``charts`` in two columns, in their order, below ``title``, on white; a whole SVG file with a line end.

    :raises ValueError: without any chart, or for one without a point.
    """
    if not charts:
        msg = f"sheet {title!r} has no chart"
        raise ValueError(msg)
    rows = -(-len(charts) // _COLUMNS)
    width = _COLUMNS * _WIDTH + (_COLUMNS + 1) * _GAP
    height = 2 * _GAP + _TITLE + rows * (_HEIGHT + _TITLE + _GAP)
    parts = [
        Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">').format(width, height),
        Markup("<style>{}</style>").format(_STYLE),
        Markup('<rect width="{}" height="{}" fill="#fff"/>').format(width, height),
        Markup('<text class="sheet" x="{}" y="{}">{}</text>').format(_GAP, _GAP + 15, title),
    ]
    for number, chart in enumerate(charts):
        row, column = divmod(number, _COLUMNS)
        x, y = _GAP + column * (_WIDTH + _GAP), 2 * _GAP + _TITLE + row * (_HEIGHT + _TITLE + _GAP)
        parts += [
            Markup('<text class="title" x="{}" y="{}">{}</text>').format(x, y, chart.title),
            Markup('<svg x="{}" y="{}" width="{}" height="{}">').format(x, y + 8, _WIDTH, _HEIGHT),
            draw(chart, anchor=f"c{number}"),
            Markup("</svg>"),
        ]
    return str(Markup("").join([*parts, Markup("</svg>\n")]))
