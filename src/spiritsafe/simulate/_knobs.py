"""What a knob may be set to, and the error that names the knob when it is set to something else."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

from spiritsafe import registry
from spiritsafe.errors import UsageError
from spiritsafe.simulate._campaign import Campaign
from spiritsafe.simulate._crowd import Customers
from spiritsafe.simulate._wordings import tasks
from spiritsafe.tomlfile import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spiritsafe.simulate._world import Block

TEXTS = ("auto", "ready", "template")


class KnobError(UsageError):
    """A setting that makes no sense; ``key`` is its name, for those who know where it was written."""

    def __init__(self, key: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def fault(self, value: object) -> str | None:
        """What is wrong with the value; None when nothing is."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            return f"a whole number from {self.low:,} to {self.high:,} is needed"
        return None


@dataclass(frozen=True)
class Number:
    """A finite number from ``low`` (or above it) to ``high``."""

    low: float
    high: float
    above: bool = False

    def fault(self, value: object) -> str | None:
        """What is wrong with the value; None when nothing is."""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high:
            good = value > self.low or not self.above
        else:
            good = False
        bottom = f"above {self.low:,.10g}, up" if self.above else f"from {self.low:,.10g}"
        return None if good else f"a number {bottom} to {self.high:,.10g} is needed"


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    of: tuple[str, ...]

    def fault(self, value: object) -> str | None:
        """What is wrong with the value; None when nothing is."""
        if value not in self.of:
            return f"one of {', '.join(self.of)} is needed"
        return None


@dataclass(frozen=True)
class Word:
    """Any text."""

    def fault(self, value: object) -> str | None:
        """What is wrong with the value; None when nothing is."""
        return None if isinstance(value, str) else "a text is needed"


Limit = Whole | Number | Choice | Word
SHARE, DAYS = Number(0.0, 1.0), Number(0.0, 3_650.0)
HOURS = Number(0.0, 8_760.0, above=True)
LIMITS: dict[str, Limit] = {
    "accounts": Whole(1, 50_000_000),
    "rate": Number(0.0, 1_000_000.0, above=True),
    "sigma": Number(0.0, 5.0),
    "burst": Number(0.0, 100.0),
    "organizations": Whole(0, 50_000_000),
    "text": Choice(TEXTS),
    "nulls": SHARE,
    "share": SHARE,
    "routing": Choice(("round_robin", "lru", "random", "sticky", "topic_affine")),
    "overlap": Choice(("shard", "iid", "zipf", "best_of_k", "partition")),
    "repeats": Whole(1, 1_000),
    "topics": Whole(0, 50_000_000),
    "timing": Choice(("sync", "jitter", "diurnal")),
    "paraphrase": Choice(("none", "slots", "account", "call")),
    "grammar": Choice(("family", "task")),
    "wording": Whole(-1, 1_000),
    **dict.fromkeys(("payment", "device", "network", "client", "mail", "refused", "churn", "framing"), SHARE),
    **dict.fromkeys(("cohort_days", "age_days", "warmup_days"), DAYS),
    "cover": Choice(("real", "made")),
    "replace_hours": Number(0.0, 8_760.0),
    "frames": Word(),
    "like": Word(),
    "likeness": SHARE,
}
MOST = 1_000_000_000
"""Exchanges of one population; more is a slip of the keyboard."""


def resolve(
    family: str, options: Mapping[str, Any], days: float, beside: Sequence[str] = ()
) -> tuple[str, Callable[..., Block], dict[str, Any]]:
    """The family's id, its function, and its arguments from the options; raises KnobError with the nearest name.

    ``beside`` are other names that stand where the knobs stand, and may have been meant.
    """
    found = registry.extensions("simulate")
    numbers = {getattr(one.module, "ARCHETYPE", ""): name for name, one in found.items()}
    name = numbers.get(family, family) if family else ""
    if name not in found:
        known = [*found, *(number for number in numbers if number)]
        raise KnobError("family", f"no family called {family!r}", hint=nearest(family, known))
    module, function = found[name].module, cast("Callable[..., Block]", found[name].function)
    kind = Campaign if getattr(module, "ARCHETYPE", "") else Customers
    names = [one.name for one in fields(kind)]
    own = {
        key: one.default
        for key, one in inspect.signature(function).parameters.items()
        if key not in ("world", "knobs")
    }
    limits = LIMITS | {key: _guess(default) for key, default in own.items()} | getattr(module, "LIMITS", {})
    for key, value in options.items():
        if key not in names and key not in own:
            raise KnobError(key, f"{name} has no knob {key!r}", hint=nearest(key, [*names, *own, *beside]))
        fault = limits[key].fault(value)
        if fault:
            message = f"{key} = {value!r} makes no sense for {name}: {fault}"
            raise KnobError(key, message, hint=_meant(limits[key], value))
    knobs = kind(
        **{**getattr(module, "DEFAULTS", {}), **{key: options[key] for key in options if key in names}}
    )
    named = {one for number, one in numbers.items() if number}
    if isinstance(knobs, Customers) and knobs.like and numbers.get(knobs.like, knobs.like) not in named:
        known = [*named, *(number for number in numbers if number)]
        raise KnobError("like", f"no archetype called {knobs.like!r}", hint=nearest(knobs.like, known))
    _together(name, knobs, options, days)
    return name, function, {"knobs": knobs, **{key: options[key] for key in options if key in own}}


def _together(name: str, knobs: Campaign | Customers, options: Mapping[str, Any], days: float) -> None:
    """Settings that make sense alone and not with each other."""
    _worded(name, knobs, options)
    if knobs.accounts * knobs.rate * days > MOST:
        raise KnobError(
            "rate" if "rate" in options else "accounts",
            f"{knobs.accounts:,} accounts x {knobs.rate:,.10g} a day x {days:,.10g} days of {name} "
            f"is more than {MOST:,} exchanges",
            hint="lower accounts, rate or days, or cut the plan in several",
        )
    if not isinstance(knobs, Campaign):
        if bool(knobs.like) != bool(knobs.likeness):
            raise KnobError(
                "like" if knobs.like else "likeness",
                "like (which archetype) and likeness (which share of the accounts) belong together",
            )
        return
    if knobs.warmup_days >= days and knobs.warmup_days:
        raise KnobError(
            "warmup_days", f"{name} would warm up for {knobs.warmup_days:g} of {days:g} days and never begin"
        )
    if bool(knobs.frames) != bool(knobs.framing):
        raise KnobError(
            "frames" if knobs.frames else "framing",
            "frames (whom) and framing (how much) belong together",
        )


def _worded(name: str, knobs: Campaign | Customers, options: Mapping[str, Any]) -> None:
    """Knobs about words, where the words are the corpus's own."""
    if knobs.text == "ready":
        for key, plain, use in (("paraphrase", "none", "paraphrase"), ("grammar", "family", "word it")):
            if options.get(key, plain) != plain:
                raise KnobError(key, "ready text is sent as it is", hint=f'set text = "template" to {use}')
    alone = isinstance(knobs, Customers) and knobs.like
    if knobs.grammar == "task" and name not in tasks() and not alone:
        raise KnobError(
            "grammar",
            f"{name} words nothing that others word, too",
            hint=f"these do: {', '.join(sorted(tasks()))}",
        )


def _meant(limit: Limit, value: object) -> str | None:
    """A hint at the word that was meant, if one comes near."""
    if not isinstance(limit, Choice) or not isinstance(value, str):
        return None
    hint = nearest(value, limit.of)
    return hint if hint.startswith("did") else None


def _guess(default: object) -> Limit:
    """What an option of a family's own may be, if the family does not say."""
    if isinstance(default, str):
        return Word()
    return Whole(0, MOST) if isinstance(default, int) else Number(0.0, float(MOST))
