"""Repairs of installed packages, each for one version of one file. A file that is not as expected is left alone, and the repair refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

TORCHVISION = "torchvision/_meta_registrations.py"
_REGISTRATIONS = ('@torch.library.register_fake("torchvision::nms")\n', '@torch.library.register_fake("torchvision::qnms")\n')
_ONLY_WITH_OPERATORS = "@({}if torchvision.extension._has_ops() else (lambda function: function))\n"

EXPLAINED = {
    "torchvision": (
        f"{TORCHVISION}: what is said of the operators nms and qnms is said only where torchvision's operators load. They are built for "
        f"CUDA and do not load here, and without this no import of torchvision succeeds. Models of text never call them."
    )
}
"""What a repair does, and why, for people."""


def repair(name: str, packages: Path) -> str:
    """Carry out the repair ``name`` in the directory of installed ``packages``; what was done, in words. Done already: nothing is changed.

    :raises InstallationError: when there is no such repair, or the file is not what it was made for.
    """
    if name not in EXPLAINED:
        msg = f"there is no repair called {name!r}"
        raise InstallationError(msg)
    path = packages / TORCHVISION
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the repair of {name} needs {path}, which cannot be read: {error}"
        raise InstallationError(msg) from error
    changed = repaired(text)
    if changed is None:
        msg = (
            f"{path} is not the file that the repair of {name} is for: it does not register nms and qnms once each, as 0.28.0 does. "
            f"It was left as it is. Has another version been installed?"
        )
        raise InstallationError(msg)
    if changed != text:
        write_atomically(path, changed)
    return EXPLAINED[name]


def repaired(text: str) -> str | None:
    """The text of the file after its repair; ``None`` where it is not what was expected. A repaired text stays as it is."""
    if "torchvision.extension._has_ops()" not in text:
        return None
    for registration in _REGISTRATIONS:
        guarded = _ONLY_WITH_OPERATORS.format(registration.removeprefix("@").rstrip("\n") + " ")
        if text.count(guarded) == 1 and registration not in text:
            continue
        if text.count(registration) != 1:
            return None
        text = text.replace(registration, guarded)
    return text
