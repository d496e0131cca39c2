"""GPUS: what NVML knows, behind one small interface.

In: the driver's library. Out: Gpu values or Absent with the reason. Imports scenario and below.
"""
