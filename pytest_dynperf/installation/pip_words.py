"""What pip's last lines mean for the person who waits, and what to do. Pure."""

from __future__ import annotations

import re

_UNREACHABLE = (
    r"Temporary failure in name resolution|Name or service not known|Failed to establish a new connection|NewConnectionError|"
    r"Network is unreachable|ConnectTimeout|Read timed out|ReadTimeoutError|Connection refused|ProxyError"
)
_MIRRORS = "PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, HTTPS_PROXY"

_MEANINGS = {
    r"No space left on device|Errno 28|Disk quota exceeded": "the disk is full: make room, or name another with XDG_CACHE_HOME and TMPDIR",
    _UNREACHABLE: f"a package index cannot be reached: is there a network? pip's own configuration names mirrors and proxies ({_MIRRORS})",
    r"CERTIFICATE_VERIFY_FAILED|SSLError": "the index's certificate is not trusted: PIP_CERT names your organisation's certificates",
    r"No matching distribution found|Could not find a version": (
        "no index has this version for this Python and machine. Behind a mirror, PIP_EXTRA_INDEX_URL names a further index"
    ),
    r"No module named (ensurepip|pip|venv)|ensurepip is not available": (
        "this Python cannot make environments: on Debian, apt-get install python3-venv"
    ),
    r"THESE PACKAGES DO NOT MATCH THE HASHES": "a download was damaged: clear pip's cache (pip cache purge)",
}
"""What pip writes, the gravest first, and what to do."""

_SHOWN_LINES = 6


def not_found(output: str) -> bool:
    """Whether pip failed because no index that it knows has what was asked for."""
    return re.search(r"No matching distribution found|Could not find a version", output) is not None


def meaning(output: str) -> str | None:
    """What to do about it, where it is one of the known failures."""
    for pattern, text in _MEANINGS.items():
        if re.search(pattern, output):
            return text
    return None


def last_words(output: str) -> str:
    """The last lines that say something, for an error text."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    return "\n".join(f"  {line[:200]}" for line in lines[-_SHOWN_LINES:])
