"""The golden benchmark: one table over composed logs, Spiritsafe and the baselines on the same ones.

``python -m golden --tier quick|full`` (with ``bench`` on the path; ``make bench`` and ``make bench-full`` do it).

A *trial* is one composed log (``trials``); ``menu`` lists those of a tier; ``run`` makes, scans and judges one and gives a
*cell* for each detector and operating point; ``store`` keeps cells as JSON lines and runs what is lacking; ``sections``,
``rows`` and ``attack`` count; ``charts`` and ``page`` show. Every number shown is computed from cells.
"""
