"""Write what ``rsuda info`` answers as a page for the viewer of results. QGIS is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = (
    "body{font-family:sans-serif;font-size:10pt} th{text-align:left;vertical-align:top;padding:2px 12px 2px 0;"
    "font-weight:normal;color:#555} td{padding:2px 12px 2px 0} .warning{color:#a4161a}"
)
_OLD = ("fit", "odd")  # copies of 'suitability' and 'warnings' under the keys of version 0.1


def facts_page(facts: Mapping[str, Any]) -> str:
    """Return an HTML page: whether the model fits, warnings, then a table of all facts."""
    title = escape(str(facts.get("file") or facts.get("name") or facts.get("run") or "rsuda info"))
    warnings = "".join(f"<p class='warning'>{escape(str(text))}</p>" for text in facts.get("warnings") or [])
    suitability = facts.get("suitability") or {}
    reasons = "; ".join(str(reason) for reason in suitability.get("reasons") or [])
    verdict = f"<p><b>Model and raster: {escape(str(suitability['verdict']))}</b>" if "verdict" in suitability else ""
    verdict += f" ({escape(reasons)})" if verdict and reasons else ""
    entries = {key: value for key, value in facts.items() if key not in (*_OLD, "warnings")}
    return (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><h2>{title}</h2>{verdict}{warnings}{_cell(entries)}</body></html>\n"
    )


def _cell(value: Any) -> str:
    """Return a value as HTML: a mapping as a table, a list of mappings as one with a row each, a list in a line."""
    if isinstance(value, Mapping):
        rows = "".join(
            f"<tr><th>{escape(str(key).replace('_', ' '))}</th><td>{_cell(entry)}</td></tr>"
            for key, entry in value.items()
            if entry not in (None, [], {})
        )
        return f"<table>{rows}</table>"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return _rows(value)
        texts = [_cell(entry) for entry in value]
        return ("<br>" if any(len(text) > 60 for text in texts) else ", ").join(texts)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else escape(str(value))


def _rows(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return mappings as a table with their keys as its head."""
    keys = list(dict.fromkeys(key for entry in entries for key, value in entry.items() if value is not None))
    head = "".join(f"<th>{escape(str(key))}</th>" for key in keys)
    body = "".join(
        "<tr>" + "".join(f"<td>{'' if entry.get(key) is None else _cell(entry[key])}</td>" for key in keys) + "</tr>"
        for entry in entries
    )
    return f"<table><tr>{head}</tr>{body}</table>"
