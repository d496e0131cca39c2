"""What `dynperf` returns to its caller, beside 0: done, and valid."""

INVALID = 1
"""What was measured is printed, and must not be judged."""

USAGE = 2
"""An option, a file, the server or the environment is not as it must be; nothing was measured."""

INTERRUPTED = 130
"""Ctrl-C; what had been measured is printed and written."""

BROKEN_PIPE = 141
"""Nobody reads on, as where ``| head`` has seen enough."""
