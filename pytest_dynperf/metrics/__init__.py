"""MEANING: one file per family; id, unit, direction, formula, source and computation of every metric.

In: a :class:`~pytest_dynperf.observation.recording.Recording`. Out: values or :class:`~pytest_dynperf.quantity.Absent`. Imports observation
and below; opens no socket and starts no process.
"""
