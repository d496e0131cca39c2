"""A regression that people have agreed to live with for a while: who is told, why, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One entry of ``waivers.toml``. ``case`` is ``suite/case_id`` or a shell pattern of it; ``metric`` is a metric id without or with its
    version, ``None`` for all of the case. It holds up to and including ``expires``.
    """

    case: str
    reason: str
    link: str
    expires: datetime.date
    metric: str | None = None
