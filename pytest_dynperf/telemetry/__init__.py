"""WITNESS: Endpoint to Series: what the services' own metrics say while requests are measured.

In: the metrics URLs of an :class:`~pytest_dynperf.endpoint.Endpoint`. Out: :class:`~pytest_dynperf.observation.series.Series`, and notes
for people. Reading happens in a process of its own, understanding after the phase. Must not import deployment, load or measurement.
"""
