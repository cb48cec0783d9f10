"""Work ahead changes neither what comes nor what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spiritsafe.campaigns._ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("size", [0, 1, 2, 3, 9])
def test_all_come_in_order(size: int):
    assert list(ahead(range(size))) == list(range(size))


def test_an_error_comes_in_its_place():
    def items() -> Iterator[int]:
        yield from range(4)
        raise ValueError

    found: list[int] = []
    with pytest.raises(ValueError, match=r"^$"):
        found.extend(ahead(items()))
    assert found == [0, 1, 2, 3]


def test_who_stops_early_gets_no_more_made_than_two_ahead():
    made: list[int] = []

    def items() -> Iterator[int]:
        for one in range(100):
            made.append(one)
            yield one

    some = ahead(items())
    assert [next(some), next(some)] == [0, 1]
    some.close()  # type: ignore[attr-defined]
    assert len(made) <= 5
