"""Texts that stand in every dossier."""

from __future__ import annotations


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(one.split()) for one in text.strip().split("\n\n"))


CONTEST = _paragraphs("""
An accusation by software is a lead until a person answers for it. Whoever is concerned may contest every line of this
dossier, and need not prove their innocence.

Ask whoever gave you this dossier to review it; somebody who was not part of the first decision must do so. While an
appeal is open, severe measures are frozen.

Say which of the innocent explanations fits you, or name another, and what would show it: a contract, a declared
relation, the purpose of the requests, who shares your cards, devices or addresses.

Ask for the sealed bundle. Texts of other customers may be withheld in it; hashes, tests and statistics stay checkable.

Have it computed anew by somebody you trust. A difference is a reason to set it aside.
""")

LIMITS = _paragraphs("""
It says what was seen and how unlikely that is without a common cause. It does not say who stands behind it: names are
opinions of persons, marked as such.

An e-value or a p-value is not the chance of innocence. It says how rarely the named innocent explanation would give as
much.

The tests exclude the explanations that they name. One that nobody thought of may remain.

The sealed records are the provider's own log. That they were not changed since they were added can be proven; that they
are complete, it cannot.

Geography and nationality are no evidence here and were not used.
""")

(CUSTODY, CHECK, LOSS, SURE) = _paragraphs("""
Each line is an entry of a ledger in which every entry commits to all before it. Nothing that was added can be taken out
of a sealed case without a trace.

To check: the file verify.py of the program Spiritsafe reads the bundle alone, offline. With the program installed, the
following command computes every statistic anew from the sealed records and compares. Get the key from who you trust.

Four ways to look at one loss. They overlap and must not be added. Each is a range of nine in ten draws, rounded
outwards.

A result that is not positive never proves innocence; a p-value is not the chance of it.
""")

VERDICTS = {
    "supports derivation": "The evidence supports that {0} was trained on text that depends on outputs of {1}.",
    "does not support derivation": (
        "No evidence that {0} was trained on outputs of {1}, from tests that would likely have found it."
    ),
    "inconclusive": "Inconclusive: neither derivation of {0} from {1} nor its absence was shown.",
}

GLOSSARY = (
    ("exchange", "One request to a model and its answer."),
    ("campaign", "Streams of several accounts that act together to harvest a model."),
    (
        "bits of evidence",
        "The base-2 logarithm of an e-value: by chance, 20 bits at most once in a million times.",
    ),
    ("null hypothesis", "The innocent explanation that a test tries to reject."),
    ("p-value", "How often the null hypothesis gives a value at least this extreme."),
    ("membership", "The probability that an account belongs to the group."),
    ("root", "One number that commits to all records of a part: a changed record gives another."),
)
