"""Extensions are found by their file or their entry point, and a broken one is named."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

import spiritsafe
from spiritsafe.errors import ExtensionError
from spiritsafe.registry import extensions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBERS = itertools.count()


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A real room of the package, made in a temporary folder; returns its name."""

    def make(**files: str) -> str:
        name = f"made_for_a_test_{next(NUMBERS)}"
        folder = tmp_path / name
        folder.mkdir()
        for stem, content in {"__init__": "", **files}.items():
            (folder / f"{stem}.py").write_text(content)
        monkeypatch.setattr(spiritsafe, "__path__", [*spiritsafe.__path__, str(tmp_path)])
        return name

    return make


def test_a_file_with_a_function_of_its_name_is_an_extension(room: Callable[..., str]):
    made = room(
        zebra='def zebra():\n    """Counts stripes.\n\n    More."""\n    return 1\n',
        ant="LEGS = 6\ndef ant(): return 2\n",
        _shared="raise RuntimeError('not an extension')\n",
    )
    found = extensions(made)
    assert list(found) == ["ant", "zebra"]
    assert found["ant"].module.LEGS == 6
    assert found["ant"].function() == 2
    assert found["zebra"].summary == "Counts stripes."


def test_a_file_without_its_function_is_named(room: Callable[..., str]):
    made = room(owl="def howl(): ...\n")
    with pytest.raises(ExtensionError) as caught:
        extensions(made)
    assert str(caught.value) == (
        f"{made}/owl has no function called owl\n  hint: name the function after its file"
    )


def install(folder: Path, group: str, name: str) -> None:
    """An installed package as pip leaves it: a module, and metadata with an entry point."""
    folder.mkdir()
    (folder / f"outside_{name}.py").write_text(f"def {name}(): return 'from outside'\n")
    metadata = folder / f"outside_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: outside-{name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[spiritsafe.{group}]\n{name} = outside_{name}:{name}\n")


def test_an_entry_point_adds_an_extension_from_outside(
    room: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = room(ant="def ant(): ...\n")
    install(tmp_path / "site", made, "bee")
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = extensions(made)
    assert list(found) == ["ant", "bee"]
    assert found["bee"].function() == "from outside"


def test_two_extensions_of_one_name_are_refused(
    room: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = room(cat="def cat(): ...\n")
    install(tmp_path / "site", made, "cat")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ExtensionError, match=f"two {made} are called cat"):
        extensions(made)
