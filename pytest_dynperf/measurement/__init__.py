"""RESULT: Recordings to Measurement.

In: recordings. Out: per (metric id, statistic) one value per run, or Absent with the reason; what makes a run invalid. Pure.
"""
