"""The pinned snapshot of MITRE ATLAS: ids and names of the few techniques, mitigations and studies of distillation."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

#: Which mitigation a response is an instance of.
MITIGATIONS: Final = {
    "observe": "AML.M0024",
    "budget": "AML.M0004",
    "step_up": "AML.M0019",
    "strip_logprobs": "AML.M0002",
    "cap_output": "AML.M0002",
    "withhold_reasoning": "AML.M0002",
    "mark": "AML.M0024",
    "best_of": "AML.M0024",
    "refuse": "AML.M0019",
    "suspend": "AML.M0019",
}
_PLACES = {"T": "techniques", "M": "mitigations", "C": "studies"}


@dataclass(frozen=True, slots=True)
class Atlas:
    """The snapshot: its version, and a name by id."""

    version: str
    names: dict[str, str]


@cache
def snapshot() -> Atlas:
    """The snapshot that this version of the package pins."""
    found = tomllib.loads(files("spiritsafe.sharing.stix").joinpath("atlas.toml").read_text("utf-8"))
    names = {
        key: name for part in ("techniques", "studies", "mitigations") for key, name in found[part].items()
    }
    return Atlas(found["version"], names)


def url(key: str) -> str:
    """Where ATLAS tells of the technique, mitigation or study with this id."""
    return f"https://atlas.mitre.org/{_PLACES[key[4]]}/{key}"
