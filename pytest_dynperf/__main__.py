"""``python -m pytest_dynperf`` is ``dynperf``."""

import sys

from pytest_dynperf.command.main import main

if __name__ == "__main__":
    sys.exit(main())
