"""What a scan could not see because the log lacks a column: said in every result, never left to be guessed."""

from __future__ import annotations

from typing import Any

from spiritsafe import registry, schema
from spiritsafe.campaigns.log import LAYERS

_OTHERS = {
    "declared relations": ("relation",),
    "organizations": ("organization_id",),
    "token counts": ("input_tokens", "output_tokens"),
    "retry after a ban": ("status",),
    "reasoning artefacts": ("reasoning_redeemed",),
}
_MEANS = {
    "declared relations": "customers with a licence or a known relation could not be told apart",
    "organizations": "each account counted as a customer of its own",
    "token counts": "volumes are told in exchanges only",
    "retry after a ban": "traffic that moves to another account after a refusal could not be seen",
    "reasoning artefacts": "reasoning issued to one account and redeemed by another could not be seen",
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
    for name, extension in registry.extensions("signals").items():
        missing = [
            column
            for column in getattr(extension.module, "NEEDS", ())
            if column in schema.BY_NAME and not schema.BY_NAME[column].required and column not in present
        ]
        if missing:
            found.append({"signal": name, "missing": missing, "means": "judged from the prompt's text alone"})
    return found
