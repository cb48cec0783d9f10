"""Joint evidence: what no lab can say alone, several can, and nobody opens a log.

Labs commit to the evidence of every candidate they tested, match candidates privately, then open the matched ones.
``decide`` is a pure function of the signed statements: any member computes it again. The theory: docs/sharing/joint.md.
"""
