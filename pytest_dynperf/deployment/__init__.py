"""SYSTEM: Topology to running services to Endpoint.

In: a topology, a launcher. Out: an Endpoint and the facts of the Environment. Starts processes and opens sockets at its edge; the modules
``service`` and ``dynamo`` are pure. Must not import load or measurement.
"""
