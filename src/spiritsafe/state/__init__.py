"""State: what is kept of files that were read, so that no text is read twice, whoever reads: scan, watch or Spark."""

from spiritsafe.state.scan import noted, scan, unheard

__all__ = ["noted", "scan", "unheard"]
