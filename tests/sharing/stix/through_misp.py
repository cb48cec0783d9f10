"""A bundle on standard input becomes a MISP event, and STIX again: both as JSON on standard output.

A program of its own: what misp-stix imports changes how the whole process imports from then on.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import stix2
from misp_stix_converter import ExternalSTIX2toMISPParser, MISPtoSTIX21Parser

reader: Any = ExternalSTIX2toMISPParser()
reader.load_stix_bundle(stix2.parse(json.load(sys.stdin), allow_custom=True))
reader.parse_stix_bundle()
writer: Any = MISPtoSTIX21Parser()
writer.parse_misp_event(reader.misp_event)
back = [json.loads(one.serialize()) for one in writer.bundle.objects]
json.dump({"event": json.loads(reader.misp_event.to_json()), "back": back}, sys.stdout)
