"""Runs a module of ours in an environment that has not this package: the interpreter is shown its directory and nothing beside it."""

from __future__ import annotations

from pathlib import Path

# The package itself is not imported there, only put in place: it lies in a site-packages as a rule, whose other packages must not be seen.
_PROGRAM = """
import runpy, sys, types
package = types.ModuleType("pytest_dynperf")
package.__path__ = [sys.argv[1]]
sys.modules["pytest_dynperf"] = package
module = sys.argv[2]
sys.argv[1:] = sys.argv[3:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def visiting(python: Path, module: str, *arguments: str) -> tuple[str, ...]:
    """The command line that runs ``pytest_dynperf.<module>`` as a program with ``python``. The module and what it imports of ours must need
    no more than the standard library and what is installed there.
    """
    package = str(Path(__file__).parents[1])
    return (str(python), "-I", "-B", "-c", _PROGRAM, package, f"pytest_dynperf.{module}", *arguments)
