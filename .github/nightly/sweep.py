"""Removes what dead sessions have left on this runner, as the start of every session does; what lives is left alone."""

from __future__ import annotations

import sys

from pytest_dynperf.deployment.lease import default_directory
from pytest_dynperf.deployment.sweep import sweep, swept_line
from pytest_dynperf.deployment.sweep_engine import local_engine


def main() -> int:
    """1 where something could not be removed."""
    engine = local_engine()
    try:
        swept = sweep(default_directory(), engine)
    finally:
        if engine is not None:
            engine.close()
    sys.stdout.write(f"{swept_line(swept) or 'nothing was left behind'}\n")
    return 1 if swept.left else 0


if __name__ == "__main__":
    sys.exit(main())
