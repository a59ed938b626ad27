"""Build the JSON schema of the settings, for editors and forms."""

from __future__ import annotations

from typing import Any

from rsuda.core.settings import Settings
from rsuda.methods import find_method


def settings_schema(method: str | None = None) -> dict[str, Any]:
    """Return the JSON schema of the settings, with the options of a method in section ``method``.

    Raises InputError for an unknown method.
    """
    name = method or Settings().method.name
    options = find_method(name).Options.model_json_schema()
    schema = Settings.model_json_schema(mode="validation")
    section = schema["$defs"]["MethodSettings"]
    section["properties"] = {"name": section["properties"]["name"], **options.get("properties", {})}
    schema["$defs"] |= options.get("$defs", {})
    return schema
