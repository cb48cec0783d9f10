"""Identity morphology: domains that one hand registered look alike even when no two are equal.

The *shape* of a mail domain that one party alone holds is a layer of its own; domains that several hold have the identity
layer, so that nothing counts twice. It is context and weighs little: many innocent names have the
same shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.campaigns.links import Layer, layer_of

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

NAME = "shape"
_WEIGHT = 0.05


def shapes(engine: Engine, log: Log) -> Layer | None:
    """Which party has a mail domain of its own, and of which shape; None when nobody has one."""
    if "email_domain" not in log.present:
        return None
    pairs = engine.table(
        "WITH held AS (SELECT DISTINCT p.party, lower(s.email_domain) AS domain FROM sketch s "
        "JOIN party_open p ON s.acc = p.acc WHERE s.email_domain IS NOT NULL), "
        "own AS (SELECT domain FROM held GROUP BY domain HAVING count(*) = 1) "
        "SELECT h.party, h.domain FROM held h JOIN own o ON h.domain = o.domain ORDER BY 1, 2"
    )
    if not pairs.num_rows:
        return None
    value = shape(pairs.column("domain").combine_chunks())
    distinct = pa.table({"party": pairs.column("party"), "value": value}).group_by(["party", "value"])
    kept = distinct.aggregate([]).sort_by([("party", "ascending"), ("value", "ascending")])
    return layer_of(NAME, "email_domain", _WEIGHT, kept, log.parties)


def shape(domains: Any) -> Any:
    """Arrow text: letters to ``a`` and digits to ``9``, runs as one, then the length, then the last label as it is.

    ``mail-4821.example`` becomes ``a-9 9 .example``: nine characters stand before the last label.
    """
    body = pc.replace_substring_regex(domains, r"\.?[^.]*$", "")
    last = pc.replace_substring_regex(domains, r"^.*\.", ".")
    runs = pc.replace_substring_regex(body, r"\p{L}+", "a")
    runs = pc.replace_substring_regex(runs, r"\p{N}+", "9")
    return pc.binary_join_element_wise(runs, pc.cast(pc.utf8_length(body), pa.string()), last, " ")
