"""Functions for Python programs and notebooks; ``import rsuda`` offers them. The command line calls the same functions.

Heavy libraries are imported inside the functions, so that importing this module takes no time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsuda.annotation.suggestions import Suggestions
from rsuda.core.setting_keywords import KEYWORDS
from rsuda.core.settings import Settings
from rsuda.evaluation.finished_run import Run

if TYPE_CHECKING:
    from rsuda.data.domains.domain import Domain
    from rsuda.data.find_domain import Objects
    from rsuda.evaluation.evaluate import Evaluation

    DomainLike = str | os.PathLike[str] | Domain | Any  # what rsuda.domain takes; Any for datasets of torchgeo

log = logging.getLogger("rsuda")


def adapt(
    source: DomainLike | Sequence[DomainLike] | None = None,
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
    standardise: str | None = None,
    band_matching: str | None = None,
    band_mixing: float | str | None = None,
    colours: str | None = None,
    target_statistics: bool | str | None = None,
    rare_temperature: float | None = None,
    source_split: str | None = None,
    target_split: str | None = None,
    source_bands: str | None = None,
    target_bands: str | None = None,
    source_nodata: float | None = None,
    target_nodata: float | None = None,
    encoder: str | None = None,
    weights: str | Path | None = None,
    witness: str | None = None,
    lr: float | None = None,
    seed: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    devices: int | str | None = None,
    nodes: int | None = None,
    strategy: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    score_every: int | None = None,
    bank: bool | None = None,
    logger: str | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Train on a labelled source and an unlabelled target, leave a run folder, and score it.

    With ``start`` and ``target`` and neither source nor method, the run adapts the start to the target without the source's
    data (method 'source-free').

    Target labels are not opened while training. Where the target has a labelled split, the last checkpoint is scored on
    it once, at the end. So is the model before adaptation (see ``Run.before``).

    Args:
        source, target: names of domains, domain files, folders, Domain objects or torchgeo datasets; see ``rsuda.domain``.
            Several sources are a list.
        method: 'source-free' by default, 'st-dasegnet' in the presets of papers; ``rsuda methods`` lists all.
        data: folder of the files of domains that are named. Without it, 'potsdam' and 'vaihingen' are the sample tiles.
        out: run folder; the first free one of runs/<source>_<target>_<method> by default.
        preset: 'small', 'raw', 'paper', 'mit-b0', 'mit-b5', 'resnet50', 'sample'.
        config: YAML file of options, which the arguments override.
        overwrite: replace an existing run.
        resume: continue the run in ``out``. Pass domains that were objects again.
        progress: show a bar on stderr.
        start: run whose model training starts from; its settings are the defaults.
        steps: optimizer steps.
        batch_size: patches of each domain in a batch of one process.
        accumulate: batches that make one optimizer step.
        window: patch size in pixels, a multiple of 32.
        gsd: common metres per pixel, 'target', 'native', or 'auto': the target's unless the source is much coarser.
        standardise, band_matching, band_mixing, colours, target_statistics, rare_temperature: what else brings the domains
            nearer, mostly 'auto'; see the settings of ``align``.
        source_split, target_split: splits that are trained on, 'train' by default.
        source_bands, target_bands: band order, such as 'IRRG'.
        source_nodata, target_nodata: value that marks pixels without data; the files' own by default.
        encoder: of segmentation-models-pytorch, such as 'mobilenet_v2', or 'tu-NAME' of timm.
        weights: of the encoder: 'imagenet', 'packaged', 'sample', 'none' or a file.
        witness: frozen encoder that is asked for a second opinion on pseudo labels; the model's own by default.
        seed: of weights, patches and augmentation.
        precision, device: 'auto', 'bf16' or 'fp32', and 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.
        devices, nodes, strategy: devices of each machine, machines, and how they train together.
        lr: learning rate of the encoder.
        workers, threads: processes that read patches, and CPU threads of each that trains (all cores by default).
        score_every: steps after which the target's labelled split is scored, for a curve.
        bank: whether the source's class means are kept in the weights file, for adaptation without the source later.
        logger: trackers of experiments: 'tensorboard', 'mlflow', 'wandb', or a list of them.
        settings: any other setting, by its dotted name: ``{"optimizer.weight_decay": 0.05, "method.trusted": 0.7}``.
        tell: called with sentences on the way; they are logged by default.

    Returns:
        the run: its folder, scores with and without labels. ``rsuda.predict``, ``evaluate`` and ``load`` take it.

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
    keywords = {name: value for name, value in locals().items() if name in KEYWORDS}
    from rsuda.data.find_domain import names_and_objects
    from rsuda.methods import option_names, presets_of
    from rsuda.runs.resolve import changes_of, resolve

    names, objects = names_and_objects(source, target)
    tell = tell or log.info
    run_settings, folder = resolve(
        config,
        changes_of(names, keywords, settings),
        out,
        resume,
        tell,
        presets_of=presets_of,
        option_names=option_names,
    )
    return _train_and_score(
        run_settings, folder, objects, overwrite=overwrite, resume=resume, quiet=not progress, tell=tell
    )


def resolve_settings(
    source: DomainLike | Sequence[DomainLike] | None = None,
    target: DomainLike | None = None,
    *,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> tuple[Settings, list[str]]:
    """Resolve the settings of a run as ``rsuda.adapt`` with the same keywords would, the method's options among them.

    Returns:
        the settings, and notes on what the method changes.

    Raises:
        InputError, MissingError: as ``rsuda.adapt`` before it reads any data.
    """
    from rsuda.data.find_domain import names_and_objects
    from rsuda.methods import option_names, presets_of
    from rsuda.runs.resolve import changes_of, resolve
    from rsuda.training.build import check_run

    names, _ = names_and_objects(source, target)
    changes = changes_of(names, keywords, settings)
    run_settings, _ = resolve(
        config, changes, "unused", False, log.debug, presets_of=presets_of, option_names=option_names
    )
    return check_run(run_settings)


def _train_and_score(
    settings: Settings,
    folder: Path,
    objects: Objects,
    *,
    overwrite: bool,
    resume: bool,
    quiet: bool,
    tell: Callable[[str], None],
) -> Run:
    """Train a run and score it."""
    from rsuda.data.find_domain import training_domains
    from rsuda.evaluation.before import KeepBefore
    from rsuda.evaluation.score_finished import score_finished
    from rsuda.evaluation.target_curve import watch_target
    from rsuda.learning.device import pick_device
    from rsuda.training.build import check_run
    from rsuda.training.processes import processes
    from rsuda.training.train import train

    how = settings.training
    check_run(settings, processes(how.devices, how.nodes, pick_device(how.device)).count)  # before data are listed
    domains = training_domains(settings, objects)
    target = domains[1]
    train(
        settings,
        folder,
        overwrite=overwrite,
        resume=resume,
        quiet=quiet,
        callbacks=[*watch_target(settings, target, folder), KeepBefore(folder)],
        objects=domains,
    )
    return score_finished(folder, settings, target, tell)


def evaluate(
    run: str | os.PathLike[str],
    domain: DomainLike | None = None,
    split: str = "val",
    protocol: str = "scenes",
    *,
    data: str | Path | None = None,
    bands: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    window: int = 512,
    overlap: int = 128,
    batch_size: int = 4,
    tta: str = "none",
    overwrite: bool = False,
) -> Evaluation:
    """Score a run on a labelled split, and write the scores into its folder.

    Args:
        run: a run, or its folder.
        domain: what to score on, as in ``rsuda.domain``; the run's own target by default.
        split: labelled split of the domain.
        protocol: 'scenes' (each labelled pixel once) or 'st-dasegnet' (that paper's tiles).
        data: folder of the domain's files; the run's by default.
        bands: band order to use where the domain has several.
        device: 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'.
        precision: 'auto', 'bf16' or 'fp32'; the run's own by default.
        window: pixels per side of a window of prediction, a multiple of 32.
        overlap: pixels by which windows overlap.
        batch_size: windows at once.
        tta: test-time augmentation: 'none', 'flips' or 'all'.
        overwrite: replace scores of the same domain, split and protocol that differ.

    Returns:
        the scores: ``scores.miou``, ``scores.iou`` by class, ``scores.matrix``, …; ``without_clutter`` alike.

    Raises:
        InputError, MissingError: no labels, no class in common with the model, …
        ExistsError: the folder holds different scores, and ``overwrite`` is False.

    Example:
        >>> import rsuda
        >>> evaluation = rsuda.evaluate("runs/two", "potsdam", "val")
        >>> evaluation.scores.names[:2], bool(0 <= evaluation.scores.miou <= 1)
        (('impervious surface', 'building'), True)
    """
    from rsuda.core.hub import run_folder
    from rsuda.evaluation.evaluate import domain_of_run, score_run

    folder = run_folder(run)
    scored_domain = domain_of_run(folder, domain, data, bands)
    evaluation, _ = score_run(
        folder,
        scored_domain,
        split,
        protocol,
        overwrite=overwrite,
        device=device,
        precision=precision,
        window=window,
        overlap=overlap,
        batch_size=batch_size,
        tta=tta,
    )
    return evaluation


def suggest(
    run: str | os.PathLike[str],
    domain: DomainLike | None = None,
    split: str = "all",
    *,
    k: int = 10,
    size: int = 128,
    out: str | Path | None = None,
    data: str | Path | None = None,
    bands: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str | None = None,
    overwrite: bool = False,
    progress: Callable[[float, float], None] | None = None,
) -> Suggestions:
    """Suggest the windows of a domain that are most worth a label: uncertain, and unlike each other. No label is read.

    Args:
        run: a run, or its folder.
        domain: what to annotate, as in ``rsuda.domain``; the run's own target by default.
        split: split whose scenes may be annotated.
        k, size: number of windows, and their side in pixels of the model's GSD.
        out: GeoPackage to write the windows to, with its QGIS style; left out with a note for scenes without a CRS.
        data: folder of the domain's files; the run's by default.
        bands: band order to use where the domain has several.
        seed: of the clustering.
        device, precision: see ``rsuda.evaluate``.
        overwrite: replace an existing file.
        progress: called with finished and all pixels of the scenes.

    Returns:
        the windows, most valuable first, with their domain, the model's spec and the file.

    Raises:
        InputError, MissingError, ExistsError: before anything is computed.
    """
    from rsuda.annotation.suggest import check_output, write_if_located
    from rsuda.annotation.suggest import suggest as suggest_windows
    from rsuda.core.hub import local_model
    from rsuda.evaluation.evaluate import domain_of_run, predictor_of_run

    folder = local_model(run)
    scenes = domain_of_run(folder, domain, data, bands)
    if out is not None:
        check_output(out, overwrite=overwrite)
    predictor = predictor_of_run(folder, device=device, precision=precision)
    windows = suggest_windows(predictor, scenes, split, k, size, seed, progress)
    spec = predictor.trained.spec
    file = None if out is None else write_if_located(windows, scenes, spec, out, overwrite=overwrite)
    return Suggestions(tuple(windows), scenes, spec, file)
