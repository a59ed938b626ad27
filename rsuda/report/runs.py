"""The runs of a report: what their folders hold, and which of them is the 'before'."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError
from rsuda.core.settings import Settings
from rsuda.evaluation.label_free import read_label_free
from rsuda.evaluation.target_curve import CURVE, read_curve
from rsuda.methods import find_method
from rsuda.runs.weights import TrainedNetwork, load_run, saved_settings

_PAPERS_SPELLING = {"source-only": "source-only", "st-dasegnet": "ST-DASegNet"}
SHARE = "quality"  # the term in which methods log the share of pseudo labels that they trust


@dataclass(frozen=True)
class ReportRun:
    """A finished run.

    Attributes:
        name: unique among the runs of a report.
        terms: loss terms by name, each as (steps, values); empty without metrics.csv.
        share: the share of pseudo labels trusted, alike; None where the method logs none.
        curve: rows of target_curve.csv.
        label_free: scores of label_free.json; None without it.
        lacking: sentences on what is not in the folder.
    """

    folder: Path
    name: str
    settings: Settings
    trained: TrainedNetwork
    terms: dict[str, tuple[list[int], list[float]]]
    share: tuple[list[int], list[float]] | None
    curve: list[dict[str, Any]]
    label_free: dict[str, float] | None
    lacking: tuple[str, ...]

    @property
    def source_only(self) -> bool:
        return self.settings.method == "source-only"


def read_runs(folders: Sequence[Path]) -> list[ReportRun]:
    """Finished runs of one pair.

    Raises:
        MissingError: no such run, or it has no weights since its training has not ended.
        InputError: a run twice, runs of different pairs or legends, a damaged metrics file.
    """
    folders = [Path(f).expanduser() for f in folders]
    if not folders:
        raise InputError("a report needs a run folder at least")
    twice = [str(f) for f, n in Counter(f.resolve() for f in folders).items() if n > 1]
    if twice:
        raise InputError(f"the run {twice[0]} is given twice")
    told = [saved_settings(f) for f in folders]
    networks = [load_run(f) for f in folders]
    for folder, s, network in zip(folders[1:], told[1:], networks[1:], strict=True):
        for what, one, other in (
            ("source", told[0].source, s.source),
            ("target", told[0].target, s.target),
            ("legend", networks[0].spec.legend.names, network.spec.legend.names),
        ):
            if one != other:
                one, other = (v if isinstance(v, str) else ", ".join(v) for v in (one, other))
                raise InputError(
                    f"a report compares runs of one pair, but the {what} of {folders[0]} is {one} and that of {folder} {other}"
                )
    return [
        _read(folder, name, s, network)
        for folder, name, s, network in zip(folders, _names(folders, told), told, networks, strict=True)
    ]


def _names(folders: Sequence[Path], told: Sequence[Settings]) -> list[str]:
    """The method; with the seed where that is not unique, and the folder where that is not either."""
    plain = [_PAPERS_SPELLING.get(s.method, find_method(s.method).__name__) for s in told]
    seeded = [f"{n}, seed {s.seed}" for n, s in zip(plain, told, strict=True)]
    placed = [f"{n} ({f.name})" for n, f in zip(plain, folders, strict=True)]
    whole = [f"{n} ({f})" for n, f in zip(plain, folders, strict=True)]
    chosen = []
    for ways in zip(plain, seeded, placed, whole, strict=True):
        unique = [w for w, among in zip(ways, (plain, seeded, placed), strict=False) if among.count(w) == 1]
        chosen.append(unique[0] if unique else ways[-1])
    return chosen


def _read(folder: Path, name: str, s: Settings, network: TrainedNetwork) -> ReportRun:
    terms, lacking = _terms(folder / "metrics.csv"), []
    if not terms:
        lacking.append(f"{folder} holds no metrics.csv with losses in it, so there are no curves of them")
    share = terms.pop(SHARE, None)
    return ReportRun(
        folder, name, s, network, terms, share, _curve(folder / CURVE), read_label_free(folder), tuple(lacking)
    )


def _terms(file: Path) -> dict[str, tuple[list[int], list[float]]]:
    if not file.is_file():
        return {}
    found: dict[str, tuple[list[int], list[float]]] = {}
    try:
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                for term, value in row.items():
                    if value and term not in ("epoch", "step"):
                        steps, values = found.setdefault(term, ([], []))
                        steps.append(int(row["step"]) + 1)  # the logger counts from 0
                        values.append(float(value))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{file} is no table of losses by step ({error}): is it of another program?") from None
    # the loss first, then its terms in the order of their names
    return {k: found[k] for k in sorted(found, key=lambda k: (k != "loss", k))}


def _curve(file: Path) -> list[dict[str, Any]]:
    try:
        rows = read_curve(file)
        return rows if all(isinstance(r["miou"], float) and isinstance(r["step"], int) for r in rows) else []
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{file} is no table of scores by step ({error}): is it of another program?") from None
