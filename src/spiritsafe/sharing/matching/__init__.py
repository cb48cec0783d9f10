"""Private matching: members learn which of their identifiers at least k of them hold, and nothing of the rest.

Tokens are outputs of a verifiable oblivious pseudorandom function (`voprf`) under a key that nobody has: it is split
t-of-n among key holders (`ceremony`, `epoch`). The hub relays and counts (`relay`); it sees tags, never identifiers.
Who learns what, and why: docs/sharing/matching.md.
"""
