"""Rung 4: the request is refused, visibly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.responses._call import refuse_call
from spiritsafe.responses._parameters import Parameter

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call, Refusal

RUNG = 4
#: An answer may be taken for the model's own words, and is not seen by who looks at the status only.
PARAMETERS = {"style": Parameter("text", "error", choices=("error", "answer"))}
_BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {"dialect": "chat", "request": _BODY, "becomes": {"status": 403, "category": "request_refused"}},
    {
        "dialect": "chat",
        "parameters": {"style": "answer"},
        "request": _BODY,
        "becomes": {"status": 200, "category": "request_refused", "answer": True},
    },
)


def refuse(call: Call, order: Order, *, now: int) -> Refusal:  # noqa: ARG001 - the same for every response
    """Refuses with 403, or, with ``style = "answer"``, in the shape of the API's own refusals where it has one."""
    answer = order.parameters.get("style", "error") == "answer" and call.dialect.id in {
        "chat",
        "responses",
        "messages",
    }
    message = (
        "This request was refused: it is one of a group that extracts a model's abilities for an imitation."
    )
    return refuse_call(call, order, 200 if answer else 403, "request_refused", message, answer=answer)
