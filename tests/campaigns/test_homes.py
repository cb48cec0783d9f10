"""Which groups are mostly in a larger one, against asking each."""

import numpy as np
import pytest

from spiritsafe.campaigns._homes import homes


@pytest.mark.parametrize("seed", range(40))
def test_a_group_is_at_home_in_the_first_that_holds_most_of_it(seed: int):
    rng = np.random.default_rng(seed)
    parties = int(rng.integers(5, 60))
    held = [
        np.sort(rng.choice(parties, int(rng.integers(0, min(parties, 12))), replace=False)) for _ in range(50)
    ]
    held.sort(key=lambda one: -one.size)
    at_home: list[int] = []
    expected: list[int] = []
    for number, mine in enumerate(held):
        found = [one for one in at_home if 2 * np.isin(mine, held[one]).sum() > mine.size]
        expected.append(found[0] if found else number)
        at_home += [] if found else [number]
    start = np.cumsum([0, *(one.size for one in held)])
    assert homes(start, np.concatenate(held), parties).tolist() == expected
    assert 0 < len(at_home) < len(held)
