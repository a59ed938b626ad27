"""The verbs for Python programs and notebooks; ``import rsuda`` offers them, and loads them when they are used."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuda.core.settings import Settings
from rsuda.data.domain import Domain
from rsuda.data.find_domain import Objects, find_domains, names_and_objects
from rsuda.evaluation.evaluate import Evaluation, domain_of_run, score_run, score_without_labels
from rsuda.evaluation.label_free import LabelFree
from rsuda.evaluation.target_curve import watch_target
from rsuda.export.export import export as export
from rsuda.inference.predict import predict as predict
from rsuda.inference.segmenter import load as load
from rsuda.learning.device import pick_device
from rsuda.methods import option_names, presets_of
from rsuda.runs.folders import saved_settings
from rsuda.runs.resolve import resolve
from rsuda.training.build import check_run
from rsuda.training.processes import processes
from rsuda.training.train import adapt as train

DomainLike = str | os.PathLike[str] | Domain | Any  # what rsuda.domain takes; Any for datasets of torchgeo


logger = logging.getLogger("rsuda")


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run. It may stand wherever a run folder is asked for.

    Attributes:
        path: the run folder.
        label_free: how good the network is by the target's images alone.
        scores: of the last checkpoint on the target's labelled split; None where there is none.
    """

    path: Path
    label_free: LabelFree
    scores: Evaluation | None = None

    def __repr__(self) -> str:
        s = self.scores
        told = f"mIoU {100 * s.scores.miou:.1f} on {s.domain} {s.split}" if s else "not scored"
        return f"Run({str(self.path)!r}, {told}, information {self.label_free.information:.3f})"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def settings(self) -> Settings:
        """Every option of the run, as its config.yaml has it."""
        return saved_settings(self.path)

    def as_fields(self) -> dict[str, Any]:
        return {
            "run": str(self.path),
            "label_free": self.label_free.as_fields(),
            "scores": self.scores.as_fields() if self.scores else None,
        }


def adapt(
    source: DomainLike | None = None,
    target: DomainLike | None = None,
    *,
    method: str | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    start: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    accumulate: int | None = None,
    window: int | None = None,
    gsd: float | str | None = None,
    source_bands: str | None = None,
    target_bands: str | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    devices: int | str | None = None,
    nodes: int | None = None,
    strategy: str | None = None,
    workers: int | None = None,
    score_every: int | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Train on a labelled source and an unlabelled target, leave a run folder, and score it.

    Target labels are not opened while training. Where the target has a labelled split, the last checkpoint is scored on
    it once, at the end.

    Args:
        source, target: names of domains, domain files, folders, Domain objects or torchgeo datasets; see ``rsuda.domain``.
        method: 'st-dasegnet' by default; ``rsuda methods`` lists all.
        data: folder of the files of domains that are named. Without it, 'potsdam' and 'vaihingen' are the sample tiles.
        out: run folder; the first free one of runs/<source>_<target>_<method> by default.
        preset: 'small', 'paper', 'mit-b0', 'mit-b5', 'resnet50', 'sample'.
        config: YAML file of options, which the arguments override.
        overwrite: replace an existing run.
        resume: go on with the run in ``out``. Domains that were objects must be given again.
        progress: show a bar on stderr.
        start: run whose model training starts from; its settings are the defaults.
        steps: optimizer steps.
        batch_size: patches of each domain in a batch of one process.
        accumulate: batches that make one optimizer step.
        window: patch size in pixels, a multiple of 32.
        gsd: common metres per pixel (the target's by default), or 'native'.
        source_bands, target_bands: band order, such as 'IRRG'.
        weights: of the encoder: 'imagenet', 'none' or a file.
        seed: of weights, patches and augmentation.
        precision: 'auto', 'bf16' or 'fp32'.
        device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
        devices, nodes, strategy: devices of each machine, machines, and how they train together.
        workers: processes that read patches.
        score_every: steps after which the target's labelled split is scored, for a curve.
        settings: any other setting, by its dotted name: ``{"optimizer.lr": 1e-3, "method.trusted": 0.7}``.
        tell: called with sentences on the way; they are logged by default.

    Returns:
        the run: its folder, scores with and without labels. It may be given to ``rsuda.predict``, ``evaluate``, ``load``.

    Raises:
        InputError, MissingError, ExistsError: as the sentence says; nothing is written then.

    Example:
        Two steps on the sample tiles (a real run takes hundreds):

        >>> import rsuda
        >>> run = rsuda.adapt("potsdam", "vaihingen", method="source-only", out="runs/two", steps=2, workers=0)
        >>> run.scores.domain, run.scores.split, run.scores.scenes
        ('vaihingen', 'val', 2)
        >>> sorted(p.name for p in run.path.glob("*.json"))
        ['label_free.json', 'run.json', 'scores_vaihingen_val.json', 'spec.json']
    """
    names, given = names_and_objects(source, target)
    common = {
        **names, "method.name": method, "data": data, "preset": preset, "network.start": None if start is None else Path(start),
        "training.steps": steps, "training.batch_size": batch_size, "training.accumulate": accumulate,
        "patches.window": window, "align.gsd": gsd, "source.bands": source_bands, "target.bands": target_bands,
        "network.weights": weights, "training.seed": seed, "training.precision": precision, "training.device": device,
        "training.devices": devices, "training.nodes": nodes, "training.strategy": strategy, "patches.workers": workers,
        "validation.every": score_every,
    }  # fmt: skip
    changes = {name: value for name, value in common.items() if value is not None} | dict(settings or {})
    tell = tell or logger.info
    s, folder = resolve(config, changes, out, resume, tell, presets_of=presets_of, option_names=option_names)
    return adapt_and_score(s, folder, given, overwrite, resume, not progress, tell)


def adapt_and_score(
    s: Settings,
    folder: Path,
    given: Objects = (None, None),
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = False,
    tell: Callable[[str], None] = logger.info,
) -> Run:
    """Train a run, score it without labels, and with them where the target has a labelled split.

    Args:
        given: source and target, where they are objects instead of the names in the settings.
        tell: what is told to the user on the way.

    Raises:
        InputError, MissingError, ExistsError: as the sentence says; nothing is written then.
    """
    check_run(
        s, processes(s.training.devices, s.training.nodes, pick_device(s.training.device)).count
    )  # before a data folder is listed
    domains = find_domains(s, given)
    target = domains[1]
    train(s, folder, overwrite, resume, quiet, watch_target(s, target, folder), domains)
    label_free, _ = score_without_labels(
        folder, target, s.target.split, device=s.training.device, precision=s.training.precision
    )
    scores = None
    if target.has_labels(s.validation.split):
        scores, _ = score_run(
            folder, target, s.validation.split, device=s.training.device, precision=s.training.precision, overwrite=True
        )
    else:
        tell(f"{target.name} has no labelled split '{s.validation.split}', so nothing was scored.")
    return Run(folder, label_free, scores)


def evaluate(
    run: str | os.PathLike[str],
    domain: DomainLike | None = None,
    split: str = "val",
    protocol: str = "scenes",
    *,
    data: str | Path | None = None,
    bands: str | None = None,
    **engine: Any,
) -> Evaluation:
    """Score a run on a labelled split, and write the scores into its folder.

    Args:
        run: a run, or its folder.
        domain: what to score on, as in ``rsuda.domain``; the run's own target by default.
        split: labelled split of the domain.
        protocol: 'scenes' (each labelled pixel once) or 'st-dasegnet' (that paper's tiles).
        data: folder of the domain's files; the run's by default.
        bands: band order to use where the domain has several.
        engine: device, precision, window, overlap, batch_size, tta.

    Returns:
        the scores: ``scores.miou``, ``scores.iou`` by class, ``scores.matrix``, …; ``without_clutter`` alike.

    Raises:
        InputError, MissingError: no labels there, no class in common with the network, …

    Example:
        >>> import rsuda
        >>> found = rsuda.evaluate("runs/two", "potsdam", "val")
        >>> found.scores.names[:2], bool(0 <= found.scores.miou <= 1)
        (('impervious surface', 'building'), True)
    """
    folder = Path(run)
    return score_run(folder, domain_of_run(folder, domain, data, bands), split, protocol, **engine)[0]
