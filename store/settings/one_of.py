"""The annotation of a setting whose values are the names of a registry.

The names are looked up when a value is validated, so that entries registered by an extension are accepted. A `Literal`
would fix them when the class is created.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class OneOf:
    """Restricts a string to some names, as `Annotated[str, OneOf(names)]`.

    Args:
        names: returns the names that are valid at the time of the call.
    """

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def choices(self) -> tuple[str, ...]:
        """Return the valid names, in their order."""
        return tuple(self._names())

    def _checked(self, value: object) -> str:
        known = self.choices()
        if isinstance(value, str) and value in known:
            return value
        *others, last = (repr(name) for name in known)
        words = f"Input should be {', '.join(others)} or {last}"
        near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
        if near:
            words += f"; did you mean {near[0]!r}?"
        raise PydanticCustomError("one_of", "{words}", {"words": words})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices())}
