"""FAULTS: what breaks a running system on purpose, proves that it did, and puts it right again.

In: services of a deployment, addresses, a :class:`~pytest_dynperf.scenario.fault.Fault`. Out: series and witnesses of what was done, and
an error where it was not done. Imports deployment and below; knows neither load nor verdicts. Everything stays on loopback, on services
that this process holds the handles of, and in network namespaces of their containers.
"""
