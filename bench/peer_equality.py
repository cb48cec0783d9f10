"""model-equality-testing 0.0.2 on answers that are already there; runs in an interpreter that has it, speaks JSON.

    PYTHON bench/peer_equality.py < [{"prompts": [[0, 0, 1], [0, 1, 1]], "texts": [[answer, ...], [answer, ...]]}, ...]

Two samples a test, each with the number of every answer's prompt. Prints the p-value of each: ``run_two_sample_test`` with the
package's own tokens (characters, 200 of them), MMD with the Hamming kernel and 100 permutations, as its page shows it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

LENGTH, PERMUTATIONS = 200, 100


def main() -> int:
    """Read samples, print p-values."""
    import torch  # noqa: PLC0415 - the interpreter that has the peer has it, too
    from model_equality_testing.algorithm import run_two_sample_test  # noqa: PLC0415
    from model_equality_testing.distribution import CompletionSample  # noqa: PLC0415
    from model_equality_testing.utils import pad_to_length, tokenize_unicode  # noqa: PLC0415

    torch.manual_seed(0)
    tests: list[dict[str, Any]] = json.load(sys.stdin)
    found: list[float] = []
    for test in tests:
        samples = [
            CompletionSample(
                prompts=np.array(prompts),
                completions=pad_to_length(tokenize_unicode([text[:LENGTH] for text in texts]), L=LENGTH),
                m=max(max(one) for one in test["prompts"]) + 1,
            )
            for prompts, texts in zip(test["prompts"], test["texts"], strict=True)
        ]
        p, _ = run_two_sample_test(
            *samples, pvalue_type="permutation_pvalue", stat_type="mmd_hamming", b=PERMUTATIONS
        )
        found.append(float(p))
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
