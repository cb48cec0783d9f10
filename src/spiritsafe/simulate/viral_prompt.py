"""A prompt that everybody tries because everybody talks about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._knobs import SHARE
from spiritsafe.simulate._text import compose
from spiritsafe.simulate._wordings import numbered
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_", "chat_", "plain", "")
EXTRAS = (
    " (saw this online)",
    " no emojis please",
    " auf Deutsch bitte",
    " make it funny",
    " 用中文回答",
    " en español porfa",
    " lol",
)
DEFAULTS = {"accounts": 400, "rate": 4.0, "paraphrase": "slots"}
LIMITS = {"infected": SHARE}
UNIT = "all"


def viral_prompt(world: World, *, knobs: Customers, infected: float = 0.6) -> Block:
    """Many unrelated people send the same text once or twice within days; the rest of their traffic is their own.

    Innocent look-alike "viral prompt": one skeleton, unrelated accounts, one go each. ``infected``: share of the
    people who try it.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    own = _crowd.chat(world, accounts, world.pool(*KINDS), account, day)
    who = np.flatnonzero(rng.random(knobs.accounts) < infected)
    who = np.sort(np.concatenate([who, rng.choice(who, size=len(who) // 3)])) if len(who) else who
    wave = rng.gamma(2.0, 0.2, len(who)).clip(0.0, 1.0) * max(1.0, np.ceil(world.days))
    time = wave.astype(np.int64) * _timing.DAY + _timing.clock(rng, "home", accounts.zone[who])
    index = np.where(rng.random(len(who)) < 0.3, rng.integers(len(EXTRAS), size=len(who)), -1)  # noqa: PLR2004
    any_one = (int(world.agreed.integers(2)),)
    prompt = compose(
        rng,
        "viral_prompt",
        who,
        {"item": (pa.array(EXTRAS), index)},
        paraphrase=knobs.paraphrase,
        choose=numbered("viral_prompt", "family", knobs.wording) or any_one,
        common=world.agreed,
    )
    return Block(accounts, [own, Traffic(who, time, prompt, chat=True)])
