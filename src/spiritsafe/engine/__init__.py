"""Engines: where SQL text runs. One dialect (DuckDB's), one adapter a file; only this room imports an engine."""
