"""What holds for all tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever starts tests behind an `&` has it ignored, and every process below inherits that: tests of interruptions would wait in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)
