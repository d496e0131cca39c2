"""Example of an extension: an engine, a metric and a section of the report."""
