"""The KGW detector of MarkLLM 0.1.5 on tokens that are already there; runs in an interpreter that has it, speaks JSON.

    PYTHONPATH=src PYTHON bench/peer_markllm.py < {"vocabulary": 1024, "share": 0.25, "runs": [{"key": HEX, "ids": [...]}, ...]}

MarkLLM takes its models from a hub; the statistic of its KGW detector needs none. Its green lists come from a generator of
its own, which did not mark these answers: they are replaced by those of the key that did, so that its statistic
(``KGWUtils.score_sequence``: each token counts, repeated or not) looks for the same mark. Prints the z-score of each run.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


def main() -> int:
    """Read tokens, print z-scores."""
    import torch  # noqa: PLC0415 - the interpreter that has the peer has it, too
    from markllm.utils.transformers_config import TransformersConfig  # noqa: PLC0415
    from markllm.watermark.kgw.kgw import KGWConfig, KGWUtils  # noqa: PLC0415

    from spiritsafe.marking import prf  # noqa: PLC0415
    from spiritsafe.marking.keys import MarkKey  # noqa: PLC0415

    given: dict[str, Any] = json.load(sys.stdin)
    config = KGWConfig(None, TransformersConfig(None, None, vocab_size=given["vocabulary"], device="cpu"))
    config.gamma = given["share"]

    def lists(key: MarkKey) -> Any:
        """The peer's ``get_greenlist_ids`` for a key of ours, of one token of context."""
        known: dict[int, Any] = {}

        def of(input_ids: Any) -> Any:
            last = int(input_ids[-1])
            if last not in known:
                start = prf.seeds(key.words, np.array([[last]], np.int64))[0]
                known[last] = torch.from_numpy(
                    np.flatnonzero(prf.vocabulary(start, given["vocabulary"]) < key.share)
                )
            return known[last]

        return of

    found: list[float] = []
    for run in given["runs"]:
        key = MarkKey("", 0, bytes.fromhex(run["key"]), scheme="green", width=1, share=given["share"])
        detector: Any = KGWUtils(config)
        detector.get_greenlist_ids = lists(key)
        found.append(float(detector.score_sequence(torch.tensor(run["ids"]))[0]))
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
