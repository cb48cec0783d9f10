"""Sources: log format -> exchanges. One file a format; nothing else to edit.

A source file holds a function with the file's name that takes the name of a relation and returns a SELECT over it.
The relation has ``file`` (integer), ``line`` (integer) and ``raw`` (the record's JSON text), or, with
``READS = "rows"``, ``file``, ``line`` and all canonical columns (missing ones null). The SELECT gives ``file``, ``line``,
any of the canonical columns, and, where it wants to set a record aside, ``reason``
("not an exchange" for what is whole but no model call). A time may be text, epoch
milliseconds or a TIMESTAMP; numbers may be text: casts are made in one place (``_project``). Beside the function stand:

* ``recognises(sample) -> bool``: is a file that begins like this mine? Told from content, never from the name.
* ``READS``: "lines" (JSON Lines, or a JSON document) or "rows" (Parquet). Default "lines".
* ``ignored(relation) -> str`` (optional): a SELECT of the keys that are read past, as ``name``.
* ``WINDOW`` (optional): bytes of one file that the SELECT must see together, for formats that join records.
* ``EXAMPLES``: pairs of a raw record and the canonical values it must give; tests run them.
"""

from spiritsafe.sources._blocks import ends, of_lines
from spiritsafe.sources._buckets import remote
from spiritsafe.sources._cuts import cuts
from spiritsafe.sources._inputs import LogFile, expand, facts, identity, listing, printable
from spiritsafe.sources._reading import Reading, read
from spiritsafe.sources._rejects import SHOWN, Rejects, json_lines
from spiritsafe.sources._tally import COUNTS, FATAL, Piece, nothing

__all__ = [
    "COUNTS", "FATAL", "SHOWN", "LogFile", "Piece", "Reading", "Rejects", "cuts", "ends", "expand", "facts", "identity",
    "json_lines", "listing", "nothing", "of_lines", "printable", "read", "remote",
]  # fmt: skip
