"""Tests of whether a suspect model is a replication: one file a test, each returns a ``Finding``.

A test is ``(suspect, teacher, controls, *, seed) -> Finding``. It declares ``TIER`` ("A": exact under randomness that
we drew; "B": calibrated against controls; "C": a lead) and ``NEEDS`` (the tables of the teacher it reads). Only tier A
may say that something supports derivation. File name = function name = id = docs page.
"""
