"""LOAD: Requests to RequestRecords.

In: an Endpoint, requests, the concurrency. Out: a Recording, and its file. Opens sockets. Must not import deployment or measurement.
"""
