"""Who carries rows out: this process, several processes of this machine, or a Dask cluster."""

from fastinv.runner.engines.base import Engine, start_engine
from fastinv.runner.engines.cluster import ClusterError

__all__ = ["ClusterError", "Engine", "start_engine"]
