"""Take out of a run's settings what belongs to one machine: on the way to a hub, and again on the way from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

OBJECT = "object: "  # precedes the name of a domain that was an object in Python
_OF_MACHINE = {"loggers": [], "device": "auto", "devices": "1", "nodes": 1, "threads": None}


def without_machine(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in sections without paths, data folder, trackers and devices.

    Domain files, the start and a method's file keep their names. Encoder weights of a file become 'none': training that starts
    from the model does not need them.
    """
    sections = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    sections["data"] = None
    for domain in (sections.get("source"), sections.get("target")):
        if domain:
            domain |= {"name": _stem(domain.get("name", ""))}
            domain |= {"also": tuple(map(_stem, domain["also"]))} if "also" in domain else {}
    network = sections.get("network") or {}
    if _is_path(network.get("weights", "")):
        network["weights"] = "none"
    if _is_path(network.get("start") or "") and not network["start"].startswith("hf:/"):
        network["start"] = PureWindowsPath(network["start"]).name
    method = sections.get("method") or {}
    if _is_path(method.get("name", "")):
        method["name"] = PureWindowsPath(method["name"]).name
    if sections.get("training"):
        sections["training"] |= _OF_MACHINE
    return sections


def of_hub(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what training that starts from a hub's model takes of its settings: no domain, and no method of a file."""
    sections = without_machine(fields)
    left_out = {"source", "target"} | ({"method"} if ":" in sections.get("method", {}).get("name", "") else set())
    return {name: value for name, value in sections.items() if name not in left_out}


def _stem(domain: str) -> str:
    return domain if domain.startswith(OBJECT) or not _is_path(domain) else PureWindowsPath(domain).stem


def _is_path(value: str) -> bool:
    return "/" in value or "\\" in value or bool(PureWindowsPath(value).suffix)
