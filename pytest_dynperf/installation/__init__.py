"""INSTALLATION: environments that engines run in, and the model that is served where no weights are: made once, pinned, cached, removable.

In: recipes (``recipes/*.toml``) and the plugin's cache directory. Out: :class:`~pytest_dynperf.installation.found.Installed`, by which
deployments start an engine. Installing starts pip and a training; finding starts nothing. Knows of workloads only the words of the fact
table, which the model is trained on; knows neither topologies nor services.
"""
