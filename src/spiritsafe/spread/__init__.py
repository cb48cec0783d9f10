"""The same scan on many machines: text is read and counted where the executors are; what remains is decided here."""

from spiritsafe.spread.scan import Cluster, ingest, on, scan

__all__ = ["Cluster", "ingest", "on", "scan"]
