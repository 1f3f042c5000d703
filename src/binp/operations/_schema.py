"""The JSON Schema of a form, with extensions for what JSON Schema cannot express."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

__all__ = ["FormSchema"]


class FormSchema(GenerateJsonSchema):
    """Generates the schema of the arguments."""

    def datetime_schema(self, schema: Any) -> dict[str, Any]:
        """Mark datetimes that require a time zone, because HTML inputs for them have none."""
        written = super().datetime_schema(schema)
        return {**written, "x-has-zone": True} if schema.get("tz_constraint") == "aware" else written
