"""From the name of a platform to the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.errors import PlatformError, nearest
from pytest_dynperf.scenario.known import BUILT_IN
from pytest_dynperf.scenario.platform_files import platform_files, platform_names
from pytest_dynperf.scenario.toml_file import load_platform

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.scenario.known import Known
    from pytest_dynperf.scenario.platform import Platform

__all__ = ["find_platform", "find_platforms", "platform_names"]


def find_platform(name: str, *, near: Path, known: Known = BUILT_IN) -> Platform:
    """The platform called ``name``, searched as ``platform_files`` describes.

    :raises PlatformError: for an unknown name; lists the known ones.
    :raises ScenarioError: when its file cannot be read.
    """
    files = platform_files(near)
    if name not in files:
        msg = f"there is no platform {name!r}{nearest(name, files)}; known: {', '.join(sorted(files))}"
        raise PlatformError(msg)
    return load_platform(files[name], known=known)


def find_platforms(*, near: Path) -> tuple[Platform, ...]:
    """All platforms that a scenario at ``near`` can run on, sorted by name.

    :raises ScenarioError: when one of the files cannot be read.
    """
    return tuple(load_platform(path) for _, path in sorted(platform_files(near).items()))
