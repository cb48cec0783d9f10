"""The few objects that are the same everywhere: official markings, and what defines this project's extensions."""

from __future__ import annotations

from functools import cache
from typing import Any

from spiritsafe.sharing.signed import EXTENSION as SIGNATURE
from spiritsafe.sharing.stix import markings
from spiritsafe.sharing.stix.ids import DISTILLATION, PROJECT

_MADE = "2026-11-26T00:00:00.000Z"


def project() -> dict[str, Any]:
    """The identity that defines the extensions."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": PROJECT,
        "created": _MADE,
        "modified": _MADE,
        "name": "Spiritsafe",
        "description": "The project that defines the extension; no member of any forum.",
        "identity_class": "system",
    }


def extensions() -> list[dict[str, Any]]:
    """The extension definitions: of the facts, and of the author's signature in an object."""
    return [
        _extension(
            DISTILLATION,
            "distillation",
            "Facts about adversarial distillation of language models on standard objects, with purpose, legal basis and end.",
            "JSON Schema 2020-12: spiritsafe/sharing/scope/schemas/distillation.json in each release of Spiritsafe",
        ),
        _extension(
            SIGNATURE,
            "author-signature",
            "Detached DSSE signature (Ed25519) of the author over the canonical JSON (RFC 8785) of the object without it.",
            "JSON Schema 2020-12: signature in spiritsafe/sharing/scope/schemas/common.json in each release of Spiritsafe",
        ),
    ]


@cache
def by_id() -> dict[str, dict[str, Any]]:
    """All of them by id. The gate lets them pass to the letter only."""
    return {one["id"]: one for one in (project(), *extensions(), *markings.definitions())}


def _extension(key: str, name: str, description: str, schema: str) -> dict[str, Any]:
    return {
        "type": "extension-definition",
        "spec_version": "2.1",
        "id": key,
        "created_by_ref": PROJECT,
        "created": _MADE,
        "modified": _MADE,
        "name": name,
        "description": description,
        "schema": schema,
        "version": "1.0.0",
        "extension_types": ["property-extension"],
    }
