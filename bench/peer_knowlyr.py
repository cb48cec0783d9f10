"""knowlyr-modelaudit 0.4.1 on texts that are already there; runs in an interpreter that has it, speaks JSON.

    PYTHON bench/peer_knowlyr.py < {"model": [answer, ...], ...}

Prints, for each model, the mean style scores by source (``compute_style_fingerprint``), the source that most answers were
given to (``detect_text_source``), and the behavioural similarity to each other model (method ``dli``).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any


def main() -> int:
    """Read texts, print what the peer says of them."""
    from modelaudit.methods import dli, style  # noqa: PLC0415 - the interpreter of the benchmark has none

    texts: dict[str, list[str]] = json.load(sys.stdin)
    # Its own entry points ask live endpoints; these are the functions they call with the answers.
    signatures = {name: dli._extract_behavior_signature(said) for name, said in texts.items()}  # noqa: SLF001
    found: dict[str, Any] = {}
    for name, said in texts.items():
        told = Counter(one.predicted_model for one in style.detect_text_source(said))
        found[name] = {
            "style": style.compute_style_fingerprint(said),
            "source": told.most_common(1)[0][0],
            "sources": dict(told),
            "dli": {
                other: dli._compute_behavior_similarity(signatures[name], one)  # noqa: SLF001
                for other, one in signatures.items()
            },
        }
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
