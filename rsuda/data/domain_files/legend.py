"""Read the legend that a user chooses for a raster of classes: of a known domain, a domain file, or a YAML file."""

from __future__ import annotations

import os
from pathlib import Path

from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spelling import spell
from rsuda.data.domain_files.domain_file import KNOWN, read_domain_file


def read_legend(legend: str | os.PathLike[str] | Legend | None) -> Legend | None:
    """Read a chosen legend: of a known domain, a domain file, or a YAML file of the fields legend, ignore and classes.

    Raises:
        InputError, MissingError: the file has no legend, or is missing.
    """
    if legend is None or isinstance(legend, Legend):
        return legend
    name, path = os.fspath(legend), Path(legend).expanduser()
    if name not in KNOWN and path.suffix not in (".yaml", ".yml"):
        raise InputError(
            f"{spell('legend')} is {name}; it must be a YAML file with a legend, or a known domain: {', '.join(KNOWN)}"
        )
    if name in KNOWN:
        return read_domain_file(KNOWN[name]).class_legend
    fields = read_yaml(path, "legend")
    if isinstance(fields, dict) and ("images" in fields or "extends" in fields):
        result = read_domain_file(path).class_legend
    elif isinstance(fields, dict) and "legend" in fields:
        result = Legend.from_fields(fields["legend"], fields.get("ignore"))
        result = result.merged(fields["classes"]) if fields.get("classes") else result
    else:
        result = None
    if result is None:
        raise InputError(
            f"{path} has no field 'legend': list the classes there, each with a name, a colour and a value"
        )
    return result
