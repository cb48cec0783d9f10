"""The guard in the path of every request: measures, artefact binding, budgets, and the log that a scan reads."""
