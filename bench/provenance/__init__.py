"""A test bed for provenance on a CPU: small teachers, students that copied them, and models that did not.

    PYTHONPATH=bench python -m provenance --work DIR [--seed 0] [--only PART ...] [--show]

Models are trained once into the work folder and read back from it; a run that was stopped goes on. The result is
``bench/results/provenance.json`` and the tables of ``docs/provenance-strength.md``, power curves for the planner included.
"""
