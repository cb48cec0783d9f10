"""Runs a verifier over the conformance bundles: every good one must be accepted, every forgery refused for its reason.

    python tests/conformance/run.py python src/spiritsafe/cases/verify.py

The command is called as ``COMMAND BUNDLE --key KEY… --threshold N --at TIME [--tsa PEM]`` and must end with status 0 for what
holds and another for what does not. Where it prints ``[code]``, the code must be the expected one, too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def arguments(one: dict[str, Any]) -> list[str]:
    """What the command is called with for one bundle."""
    words = [str(HERE / one["bundle"]), "--threshold", str(one["threshold"]), "--at", one["at"]]
    for key in one["keys"]:
        words += ["--key", key]
    return [*words, "--tsa", str(HERE / one["tsa"])] if one["tsa"] else words


def wrong(one: dict[str, Any], status: int, said: str) -> str:
    """Why the verifier is wrong about one bundle; empty when it is right."""
    if (status == 0) != (one["code"] is None):
        return "accepted" if status == 0 else f"refused: {said.strip()}"
    told = re.search(r"\[([a-z-]+)\]", said)
    if one["code"] and told and told[1] != one["code"]:
        return f"refused as [{told[1]}], not [{one['code']}]"
    return ""


def main(command: list[str]) -> int:
    """Print one line for each bundle; the number of wrong answers is the status."""
    faults = 0
    for one in json.loads((HERE / "expected.json").read_text()):
        ended = subprocess.run([*command, *arguments(one)], capture_output=True, text=True, check=False)
        fault = wrong(one, ended.returncode, ended.stderr)
        faults += bool(fault)
    return min(faults, 99)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
