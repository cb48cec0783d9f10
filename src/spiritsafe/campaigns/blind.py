"""What a scan could not see because the log lacks a column: said in every result, never left to be guessed."""

from __future__ import annotations

from typing import Any

from spiritsafe import registry, schema
from spiritsafe.campaigns import grids
from spiritsafe.campaigns.log import LAYERS

_OTHERS = {
    "declared relations": ("relation",),
    "organizations": ("organization_id",),
    "token counts": ("input_tokens", "output_tokens"),
    "retry after a ban": ("status",),
    "reasoning artefacts": ("reasoning_issued", "reasoning_redeemed"),
    "turn to a new model": ("model",),
}
_MEANS = {
    "declared relations": "customers with a licence or a known relation could not be told apart",
    "organizations": "each account counted as a customer of its own",
    "token counts": "volumes are told in exchanges only",
    "retry after a ban": "requests and accounts that take over after a refusal or a ban could not be seen",
    "reasoning artefacts": "reasoning issued to one account and redeemed by another could not be seen",
    "turn to a new model": "accounts that turn to a new model together could not be seen",
}


def blind(present: set[str]) -> list[dict[str, Any]]:
    """One entry a signal that lacked a column: ``signal``, ``missing``, ``means``. ``present``: columns with values."""
    found: list[dict[str, Any]] = [
        {
            "signal": f"shared_{name}",
            "missing": [column],
            "means": f"accounts that share the same {name} could not be seen",
        }
        for name, (column, _) in LAYERS.items()
        if column not in present
    ]
    for name, columns in _OTHERS.items():
        missing = [column for column in columns if column not in present]
        if missing:
            found.append({"signal": name, "missing": missing, "means": _MEANS[name]})
    if not present.intersection(grids.PARAMETERS):
        found.append(
            {
                "signal": "parameter grids",
                "missing": list(grids.PARAMETERS),
                "means": "accounts that step through combinations of parameters could not be seen",
            }
        )
    for name, extension in registry.extensions("signals").items():
        missing = [
            column
            for column in getattr(extension.module, "NEEDS", ())
            if column in schema.BY_NAME and not schema.BY_NAME[column].required and column not in present
        ]
        if missing:
            found.append({"signal": name, "missing": missing, "means": "judged from the prompt's text alone"})
    return found
