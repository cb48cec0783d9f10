from typing import Any

class ProxyException(Exception):  # noqa: N818 - its name
    code: str
    def __init__(
        self,
        message: str,
        type: str,
        param: str | None,
        code: int | str | None = None,
        headers: dict[str, str] | None = None,
        openai_code: str | None = None,
        provider_specific_fields: dict[str, Any] | None = None,
    ) -> None: ...
