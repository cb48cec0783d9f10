"""Responses: an order -> a changed request, a changed answer, or a visible refusal. One file a measure.

A response file holds a function with the file's name, ``(call, order, *, now) -> Call | Refusal``: pure, quick, and undone
by removing the order. ``now`` is in microseconds since the epoch. It never changes what it is given. Beside it stand:

* ``RUNG``: its place on the ladder, 0 (observe) to 5 (suspend).
* ``COUNTS`` (optional): True when a token of the campaign's bucket is taken first.
* ``DRAWS`` (optional): True when it sets the call's ``draws``: the gateway then needs the key that the order's ``key`` names.
* ``PARAMETERS``: what an order may set, by name (``Parameter``).
* ``answer(dialect_id, document, order, *, streamed)`` (optional): the changed answer, or event of a stream; the very
  same object when nothing changes, None when the event is left out. ``Changes`` applies it.
* ``begin(order)`` (optional): in place of ``answer`` for one stream whose events cannot each be changed alone; gives a
  function with ``answer``'s signature that may remember the events before.
* ``missing(parameters)`` (optional): what an order asks for that this installation does not have, in words, or None.
* ``EXAMPLES``: before and after; tests run them. Keys: ``dialect``, ``parameters``, ``left``, and either ``request``,
  ``answer`` or ``stream`` with what it ``becomes``.

No response alters the words of an answer covertly, and none may.
"""

from spiritsafe.responses._call import Call, Draws, Refusal, Taken
from spiritsafe.responses._changes import Changes
from spiritsafe.responses._find import find
from spiritsafe.responses._parameters import Parameter, check
from spiritsafe.responses._refuse import refuse_body
from spiritsafe.responses._shapes import Asked, Dialect, Tally

__all__ = [
    "Asked",
    "Call",
    "Changes",
    "Dialect",
    "Draws",
    "Parameter",
    "Refusal",
    "Taken",
    "Tally",
    "check",
    "find",
    "refuse_body",
]
