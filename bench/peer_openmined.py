"""openmined-psi (ECDH over P-256, C++) between two sets; runs in an interpreter that has it, speaks JSON.

    PYTHON bench/peer_openmined.py COUNT

Half of each side's COUNT values are common. Prints CPU seconds of both sides together, and the size found.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> int:
    """Intersect once."""
    import private_set_intersection.python as psi  # noqa: PLC0415 - the interpreter of the benchmark has none

    count = int(sys.argv[1])
    mine = [f"value {number}" for number in range(count)]
    theirs = [f"value {number}" for number in range(count // 2, count + count // 2)]
    reveal = True  # the values, not only how many
    client, server = psi.client.CreateWithNewKey(reveal), psi.server.CreateWithNewKey(reveal)
    begin = time.process_time()
    setup = server.CreateSetupMessage(1e-9, count, theirs, psi.DataStructure.RAW)
    answer = server.ProcessRequest(client.CreateRequest(mine))
    found = client.GetIntersection(setup, answer)
    json.dump({"count": count, "cpu_s": time.process_time() - begin, "common": len(found)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
