"""The JSON Schema of a form, with what JSON Schema has no words for and a form needs to know."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

__all__ = ["FormSchema"]


class FormSchema(GenerateJsonSchema):
    """Writes the schema of the arguments."""

    def datetime_schema(self, schema: Any) -> dict[str, Any]:
        """A moment; one that must have an offset says so, for whoever asks for it in a field without one."""
        written = super().datetime_schema(schema)
        return {**written, "x-has-zone": True} if schema.get("tz_constraint") == "aware" else written
