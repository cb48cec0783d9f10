from typing import Any

class CustomGuardrail:
    def __init__(
        self,
        *,
        guardrail_name: str | None = None,
        event_hook: Any = None,
        default_on: bool = False,
        **kwargs: Any,
    ) -> None: ...
