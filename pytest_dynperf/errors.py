"""The exceptions that this package raises on purpose.

::

    DynperfError                 everything below; its text is written for the person who reads it
    ├── UsageError               an option, a file or a value that a person can correct
    │   ├── ScenarioError        scenario.toml, a platform file or --dynperf-set
    │   └── PlatformError        --gpu names what is not here
    ├── WorkloadError            requests cannot be made as asked (tokenizer, lengths)
    ├── InstallationError        an engine's environment or its model could not be made, or is not what was made
    ├── DeploymentError          a service did not start, did not become ready, or went away
    │   ├── ServiceExited        a service ended although nobody asked it to
    │   └── LeaseHeld            the host is being measured by somebody else
    ├── FaultError               a fault could not be injected or undone
    │   └── UnsupportedFaultError  what is deployed cannot be broken that way
    ├── CaseTimeout              a case took longer than it may
    ├── EndpointError            what answers at the URL is not the OpenAI-compatible server that was expected
    ├── BaselineError            a baseline document cannot be read
    └── RunDirectoryError        results cannot be written

Each text says what is wrong, where, and what to do. None of them is raised for a regression: that is a verdict, not an error.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class DynperfError(Exception):
    """Root of the tree. ``str(error)`` is complete: it needs no traceback to be acted on."""


class UsageError(DynperfError):
    """An option, a file or a value that a person can correct. Exit code 4 when it is found before the first test."""


class ScenarioError(UsageError):
    """scenario.toml, a platform file or ``--dynperf-set`` says something that has no meaning; names file and key."""


class PlatformError(UsageError):
    """``--gpu`` names a platform whose file or whose hardware is not here; says what was needed and what was found."""


class WorkloadError(DynperfError):
    """Requests cannot be made as asked, for example an ISL that is shorter than the chat template."""


class InstallationError(DynperfError):
    """An engine's environment or its model could not be made, checked or removed; names the log and what to do."""


class DeploymentError(DynperfError):
    """A service did not start or did not become ready; carries the service's last log lines."""


class ServiceExited(DeploymentError):
    """A service ended although nobody asked it to, with whatever exit status, 0 included."""


class LeaseHeld(DeploymentError):
    """Another session measures on this host; names its process and how long it has been going on."""


class FaultError(DynperfError):
    """A fault that was asked for could not be injected, did not happen, or could not be undone; names the service."""


class UnsupportedFaultError(FaultError):
    """What is deployed cannot be broken that way (no container, no such service); says what is needed. A suite skips such a case."""


class CaseTimeout(DynperfError):
    """A case took longer than ``--dynperf-case-timeout`` allows; says what it was doing."""


class EndpointError(DynperfError):
    """The URL refuses, answers something that is not the OpenAI API, or does not serve the model."""


class BaselineError(DynperfError):
    """A baseline document is corrupt, merge-conflicted or of a newer schema; names the file and the remedy."""


class RunDirectoryError(DynperfError):
    """The directory for results cannot be created or written."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'concurrency'?)"`` for the known word that resembles ``word`` most, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
