"""What holds for all tests."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever starts tests behind an `&` has it ignored, and every process below inherits that: tests of interruptions would wait in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
    os.environ.pop(name, None)  # sessions within tests are nothing that the run of these tests should show
