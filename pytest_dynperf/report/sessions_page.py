"""One page over several sessions: their verdicts, what differs between them, every judged metric over time and side by side.

Like the page of one session it is one file that opens from disk and loads nothing; it has no script at all.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_dynperf.report.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """One session: ``kind`` and ``symbol`` of its worst outcome; ``link`` to its own page, relative, or empty where there is none."""

    name: str
    instant: str
    kind: str
    symbol: str
    sentence: str
    platform: str
    took: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueView:
    """A metric in one session: its value, and its change against the session before; ``kind`` of the case's outcome there."""

    value: str
    change: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendView:
    """A metric of a case: the drawing over all its sessions, what stands out in words, and its values in the newest of them."""

    metric: str
    id: str
    drawing: Markup
    first: str
    newest: str
    change: str
    notes: tuple[str, ...]
    values: tuple[ValueView | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case under one environment; ``kind``, ``symbol`` and ``outcome`` are those of the newest session that measured it."""

    name: str
    anchor: str
    environment: str
    kind: str
    symbol: str
    outcome: str
    sessions: int
    invalid: int
    trends: tuple[TrendView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``sessions`` from the oldest to the newest; ``columns`` are the newest ones, of which values stand side by side. ``differing`` are
    names that are recorded differently in ``columns``, with the text of each.
    """

    sessions: tuple[SessionView, ...]
    columns: tuple[SessionView, ...]
    cases: tuple[CaseView, ...]
    differing: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]


def render_sessions(page: Page) -> str:
    """The whole page. About 2 kB a metric, and 130 bytes for every session of it."""
    style = files("pytest_dynperf.report").joinpath("static/several.css").read_text("utf-8")
    environment = Environment(
        loader=PackageLoader("pytest_dynperf.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("several.html.j2").render(
        page=page,
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy(style),
        title=_title(page.sessions),
        counted=counted,
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _title(sessions: Sequence[SessionView]) -> str:
    first, last = sessions[0].instant[:10], sessions[-1].instant[:10]
    return f"{counted(len(sessions), 'session')}, {first if first == last else f'{first} to {last}'}"


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
