"""Grounds: what an accusation may rest on, and whether it still stands when one support is taken away.

Tests differ in what an innocent crowd could imitate. Some compare the accounts with customers that differ from each
other by a margin (even loads, one mix of topics): a crowd of clones, a class with one assignment, would pass them too.
Some find an order (turns, a steady stream) that a set of clocks could give as well. The rest no crowd has by chance:
one pool of items swept once or so many times each, cards and devices in common. ADR 7 says why each accusation needs which.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import coordination, evidence
from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns.clusters import BY_TIES
from spiritsafe.campaigns.evidence import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

#: Tests against customers who differ by a margin: valid as far as the margin is.
MARGINAL = frozenset({"even_load", "exchangeable_topics"})
#: Tests of order: clocks, software that updates and steps, or a server or vendor that does one thing at a time give it too.
ORDERLY = frozenset(
    {"taken_in_turn", "even_arrivals", "spaced_apart", "turned_together", "stepped_parameters"}
)
#: Tests of how work is shared out.
WORK = MARGINAL | ORDERLY | {"swept_items", "regular_multiplicity"}
#: Work that passes from one account to another.
PASSED = frozenset({"redeemed_by_another", "retried_by_another"})
#: Loads and turns multiplied (``_strong``): what a crowd of clones that tick could imitate twice over.
_PRODUCT = "even_load and taken_in_turn"
_CROWDS = MARGINAL | ORDERLY | {_PRODUCT}
#: Ties that an account does not come by innocently in numbers; addresses, mail domains and clients are context.
TIES = frozenset({"shared_payment", "shared_device"})
#: A stream this much steadier than chance has no crowd of more than this share in it: a crowd's own arrivals are random.
STEADY = 0.3
#: Without a recognised role, each of two kinds of evidence must be this strong (20 bits).
UNNAMED = 20 * float(np.log(2))


def decisive(tests: Sequence[Test]) -> list[Test]:
    """The tests that count: decisive ones that did not choose the candidate."""
    return [test for test in tests if test.name in evidence.DECISIVE and test.weight > 0]


def kind(test: Test) -> str:
    """The kind of fact a test stands on; an accusation needs two."""
    return (
        "load" if test.name == _PRODUCT else evidence.GROUPS.get(test.name, test.name.removeprefix("shared_"))
    )


def nature(name: str) -> str:
    """What could imitate the test ``name``: ``marginal`` (a crowd of clones), ``orderly`` (clocks) or ``firm`` (neither)."""
    return "marginal" if name in MARGINAL else "orderly" if name in ORDERLY else "firm"


def kinds(tests: Sequence[Test], log_e: float) -> set[str]:
    """The kinds of fact that reach ``log_e`` alone."""
    return {kind(test) for test in _strong(tests, log_e)}


def _strong(tests: Sequence[Test], log_e: float) -> list[Test]:
    """The tests that count and reach ``log_e``; one more is the product of loads and turns (ADR 21).

    Of these a small campaign shows a little each. Turns are tested given how often each account occurs, loads are about
    nothing else: their product is an e-value, too.
    """
    counted = decisive(tests)
    by_name = {test.name: test for test in counted}
    loads, turns = by_name.get("even_load"), by_name.get("taken_in_turn")
    if loads and turns:
        counted.append(replace(loads, name=_PRODUCT, log_e=loads.log_e + turns.log_e))
    return [test for test in counted if test.log_e >= log_e]


def carried(tests: Sequence[Test], *, log_e: float) -> bool:
    """Whether two kinds of evidence, each of ``log_e`` or more alone, carry an accusation of a recognised role.

    One of them must hold against a crowd of clones; to keep apart does not, since all do so whose work one vendor or machine
    does in turn. Cards or devices that chose the candidate are no e-value, but they are a fact of another kind beside one that
    was tested.
    """
    strong = _strong(tests, log_e)
    return len({kind(test) for test in strong} | chose(tests, log_e)) > 1 and any(
        test.name not in MARGINAL | {_PRODUCT, "spaced_apart"} for test in strong
    )


def chose(tests: Sequence[Test], log_e: float) -> set[str]:
    """Kinds of infrastructure that chose the candidate and tie it by ``log_e`` or more."""
    return {kind(test) for test in tests if test.name in TIES and not test.weight and test.log_e >= log_e}


def carried_unnamed(
    tests: Sequence[Test],
    *,
    log_e: float,
    by_items: bool = False,
    by_ties: bool = False,
    in_turn: bool = False,
    through: bool = False,
) -> bool:
    """The same where no role says what the work is for: more is asked, of each kind and of their mix.

    The work must be shared out in an order (turns, timing, sweeps: a class of students with one task has even loads and one mix
    of topics, and its laboratory's devices) or pass from one account to another that is tied or alike, and one kind must hold
    against clones and clocks alike, or turns and a steady stream, or one whose accounts keep apart, come together: clocks that
    tick by themselves fall at random beside each other. Nothing may speak against one hand: a campaign inside a crowd gives
    strong tests of order, but the whole is not the campaign. Uneven loads and own topics can be put on, though: they are
    overruled where cards or devices tie the accounts and either one hand shows ``through`` to the lightest third of them or
    the stream as a whole is steady; own topics also where cards tie accounts of even loads (a crowd around them would be
    lighter; a class has no cards), and uneven loads where the lightest accounts keep out of the way of all and all draw from
    one mix of topics (a vendor's customers have a queue in common, too, but topics of their own). A candidate found
    ``by_items`` must work through its pool of items, or there is no pool; each item so many times counts only where it is
    dealt, since those who do one benchmark do that, too. Where all that accounts send is dealt, a stream more regular than
    chance, by ``log_e``, stands for the pool: what customers ask through a relay comes at random, whoever deals it on. One found
    ``by_ties`` has them as one of its kinds. ``in_turn``: one hand must deal the work to the parties, since they were chosen
    whatever they send.
    """
    least = max(log_e, UNNAMED)
    strong = _strong(tests, least)
    names = {test.name for test in strong}
    if not any(test.name == "taken_in_turn" and test.log_e > 0 for test in tests):
        names -= {_PRODUCT}  # loads alone: what a crowd of clones has, however large
    chosen = chose(tests, least) if by_ties else set[str]()
    against = any(test.name in MARGINAL and test.log_e <= -UNNAMED for test in decisive(tests))
    one_mix = any(test.name == "exchangeable_topics" and test.log_e > 0 for test in tests)
    paced = any(test.name == "even_arrivals" and test.log_e >= log_e for test in decisive(tests))
    return (
        len({kind(test) for test in strong} | chosen) > 1
        and bool(names & (WORK - MARGINAL | {_PRODUCT}) or (names & PASSED and names & (TIES | MARGINAL)))
        and (
            bool(chosen or names - _CROWDS)
            or ("taken_in_turn" in names and bool(names & {"even_arrivals", "spaced_apart"}))
        )
        and (
            not against
            or (bool(chosen or names & TIES) and (through or _steady(strong)))
            or ("even_load" in names and ("payment" in chosen or "shared_payment" in names))
            or ("spaced_apart" in names and one_mix)
        )
        and (
            not by_items or "swept_items" in names or (in_turn and ("regular_multiplicity" in names or paced))
        )
        and (not in_turn or "taken_in_turn" in names)
    )


def bound(tests: Sequence[Test]) -> bool:
    """Whether cards or devices tie accounts so strongly (``UNNAMED``) that one hand may be behind all that they send."""
    return any(test.name in TIES and test.log_e >= UNNAMED for test in tests)


def stands(tests: Sequence[Test], *, bar: float, named: bool, kind: str, through: bool) -> bool:
    """Whether these tests carry the accusation of a candidate of this kind: e-BH's bar is passed, and two kinds of evidence hold.

    ``bar``: the log e-value that e-BH asks for; ``named``: an extraction role is recognised; ``through``: see
    ``goes_through``.
    """
    if combined(tests) < bar:
        return False
    return carried(tests, log_e=bar) if named else _unnamed(tests, bar, kind, through=through)


def _unnamed(tests: Sequence[Test], log_e: float, kind: str, *, through: bool) -> bool:
    return carried_unnamed(
        tests,
        log_e=log_e,
        by_items=kind in {"items", "swept"},
        by_ties=kind in BY_TIES,
        in_turn=kind in {"texts", "swept"},
        through=through,
    )


def pooled(tests: Sequence[Test], *, fdr: float) -> bool:
    """Whether cards and devices alone show one hand behind accounts, as a pool or a reseller has it."""
    strong = [replace(test, weight=1.0) for test in tests if test.name in TIES]
    return coordination.average(strong) >= np.log(1000 / fdr)


def _steady(strong: Sequence[Test]) -> bool:
    return any(test.name == "even_arrivals" and test.value <= STEADY for test in strong)


def through(log: Log, seen: View, layers: dict[str, Layer], tests: Sequence[Test], kind: str) -> bool:
    """``goes_through``, asked only where an accusation of a candidate of this kind could rest on it, under some bar."""
    return _unnamed(tests, 0.0, kind, through=True) and goes_through(log, seen, layers)


def goes_through(log: Log, seen: View, layers: dict[str, Layer]) -> bool:
    """Whether one hand shows in the third of the parties that sends least, in the slots of the choice, by ``UNNAMED``.

    Cards or devices tie them, or they take turns among all. A crowd around a campaign uses its text now and then. So the
    lightest parties are the crowd's, if there is one.
    """
    sent = np.bincount(np.searchsorted(seen.parties, log.row_party[seen.screen]), minlength=seen.parties.size)
    light = np.sort(seen.parties[np.argsort(sent, kind="stable")[: seen.parties.size // 3]])
    part = replace(seen, parties=light)
    counted = {name: layer for name, layer in layers.items() if f"shared_{layer.name}" in TIES}
    if any(test.log_e >= UNNAMED for test in evidence.ties(part, counted)):
        return True
    return evidence.strength_of_turns(log, seen, light) >= UNNAMED


def without(tests: Sequence[Test], name: str) -> list[Test]:
    """The tests with one of them silenced."""
    return [replace(test, weight=0.0, log_e=0.0) if test.name == name else test for test in tests]


def without_hub(log: Log, seen: View, layer: Layer) -> tuple[str, View] | None:
    """The value of ``layer`` that most members share, and what is left of the candidate without its holders.

    None when no value is shared. What is left may be nobody.
    """
    _, holders = layer.held_by(seen.parties)
    hub = int(np.argmax(holders))
    if holders[hub] < 2:
        return None
    gone = layer.party[layer.value == hub]
    party = distinct(log.row_party[seen.rows])
    everybody = party[~np.isin(party, gone)]
    return layer.named(hub), of_parties(log, seen, seen.parties[~np.isin(seen.parties, gone)], everybody)


def of_parties(log: Log, seen: View, parties: Any, everybody: Any) -> View:
    """What is left of a candidate with these of its parties (int64, sorted) alone.

    ``everybody`` (int64): whose exchanges make up the stream, those not seen in the slots of the choice, too.
    """
    stays, flows = np.zeros(log.parties, bool), np.zeros(log.parties, bool)
    stays[parties] = flows[everybody] = True
    screen, test = (rows[stays[log.row_party[rows]]] for rows in (seen.screen, seen.test))
    whole = seen.rows if seen.whole is None else seen.whole
    return View(seen.rows[flows[log.row_party[seen.rows]]], screen, test, parties, whole)


def combined(tests: Sequence[Test]) -> float:
    """The log e-value of all decisive tests together: their weighted average, whatever their dependence."""
    return coordination.average(decisive(tests))
