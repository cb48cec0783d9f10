# pyarrow has no types, and makes many of its functions when it is imported. To the checker all of it is Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
