# The types that the package ships lack its newer functions.
from typing import Any

def __getattr__(name: str) -> Any: ...
