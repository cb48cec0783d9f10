"""TLP 2.0 and PAP: the official marking definitions of OASIS (cti-stix-common-objects), by colour and by strictness.

TLP says to whom something may be passed on, PAP what a receiver may be seen doing with it. Other instances of these
markings must not be made; so the gate takes these and no others.
"""

from __future__ import annotations

from typing import Any, Final

TLP_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
PAP_EXTENSION: Final = "extension-definition--f8d78575-edfd-406e-8e84-6162a8450f5b"

#: From open to strict.
TLP: Final = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
PAP: Final = {
    "clear": "marking-definition--ad15a0cd-55b6-4588-a14c-a66105329b92",
    "green": "marking-definition--c43594d1-4b11-4c59-93ab-1c9b14d53ce9",
    "amber": "marking-definition--60f8932b-e51e-4458-b265-a2e8be9a80ab",
    "red": "marking-definition--740d36e5-7714-4c30-961a-3ae632ceee0e",
}
TLP_BY_ID: Final = {marking: colour for colour, marking in TLP.items()}
PAP_BY_ID: Final = {marking: colour for colour, marking in PAP.items()}
STRICTNESS: Final = {marking: rank for rank, marking in enumerate(TLP.values())}
AMBER_STRICT: Final = STRICTNESS[TLP["amber+strict"]]
_PAP_MADE = {"green": "2022-10-09T00:00:00.000Z"}  # as published; the others are of the first
_MADE = "2022-10-01T00:00:00.000Z"


def definitions() -> list[dict[str, Any]]:
    """The marking definitions as objects, for tools that do not know them."""
    found = [
        _definition(marking, _MADE, f"TLP:{colour.upper()}", TLP_EXTENSION, {"tlp_2_0": colour})
        for colour, marking in TLP.items()
    ]
    found += [
        _definition(
            marking, _PAP_MADE.get(colour, _MADE), f"PAP:{colour.upper()}", PAP_EXTENSION, {"pap": colour}
        )
        for colour, marking in PAP.items()
    ]
    return found


def _definition(
    marking: str, created: str, name: str, extension: str, fields: dict[str, str]
) -> dict[str, Any]:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": marking,
        "created": created,
        "name": name,
        "extensions": {extension: {"extension_type": "property-extension", **fields}},
    }
