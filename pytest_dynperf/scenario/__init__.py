"""INTENT: pure values that say what is to be measured.

In: TOML files, overrides. Out: :class:`~pytest_dynperf.scenario.case.Case`. Imports metrics and below; opens no socket and starts no
process.
"""
