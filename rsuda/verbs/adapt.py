"""Train a method on a domain pair and leave a run folder."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

from rsuda.config import Settings, dump
from rsuda.data import loader, target_batches
from rsuda.errors import ExistsError, InputError, MissingError, RsudaError, unknown
from rsuda.geo.domains import Domain, domain
from rsuda.learning.augment import Augmentation
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.methods import METHODS
from rsuda.methods.base import Method, balanced
from rsuda.pair import Pair, pair
from rsuda.parts.adversary import strided_layers
from rsuda.parts.statistics import estimate_statistics
from rsuda.run import (
    CHECKPOINT,
    CONFIG,
    SPEC,
    WEIGHTS,
    Trained,
    architecture,
    checkpoint_step,
    load_run,
    optimisation,
    save_run,
    start_from,
)
from rsuda.spec import band_code
from rsuda.target_curve import CURVE, TargetCurve

STATISTICS_BATCHES = 25

Given = tuple[Domain | None, Domain | None]  # source and target, where they are objects

logger = logging.getLogger("rsuda")


class Bar(TQDMProgressBar):
    """Lightning's bar (loss terms, ETA) with images per second."""

    def __init__(self, images: int) -> None:
        super().__init__(refresh_rate=5)
        self.images, self.began, self.first = images, time.monotonic(), 0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.began, self.first = time.monotonic(), trainer.global_step
        super().on_train_start(trainer, module)

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description("Adapting")
        return bar

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        super().on_train_epoch_start(trainer, *_)
        self.train_progress_bar.set_description("Adapting")

    @property
    def total_train_batches(self) -> int | float:
        return int(self.trainer.max_steps)

    def get_metrics(self, trainer: Any, module: Any) -> dict[str, Any]:
        items = super().get_metrics(trainer, module)
        items.pop("v_num", None)
        done = trainer.global_step - self.first
        items["img/s"] = f"{done * self.images / max(1e-9, time.monotonic() - self.began):.1f}"
        return items


class Milestones(Callback):
    """A line in the log every tenth of the run, for those who watch a file instead of a bar."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        step, last = trainer.global_step, trainer.max_steps
        if step % max(1, last // 10) == 0:
            terms = ", ".join(f"{k} {float(v):.3g}" for k, v in trainer.callback_metrics.items())
            logger.debug("step %d of %d: %s", step, last, terms)


def common_ground(s: Settings, domains: tuple[Domain, Domain]) -> tuple[Pair, Trained | None]:
    """Source and target as a pair, and the run that training starts from, as which the pair's pixels are fed."""
    start = load_run(s.start) if s.start else None
    return pair(*domains, s, start.spec if start else None), start


def build(s: Settings, found: Pair, start: Trained | None = None) -> Method:
    """The method with its networks, for a pair; they are those of ``start`` if there is one.

    Raises InputError for a crop or option that cannot work, or a start that does not fit.
    """
    cls = METHODS[s.method]
    source, target = found.source_spec, found.target_spec
    augmentation = Augmentation(
        (source.mean, source.std), (target.mean, target.std), s.turns, s.photometric, s.target_geometry
    )
    arch = architecture(s, target)
    method = cls(arch, target, optimisation(s), augmentation, s.weights, s.seed, **s.options)
    if start:
        start_from(method, s, start)
    return method


def with_class_weights(s: Settings, found: Pair) -> Settings:
    """Settings in which class weights that follow the source's class shares are numbers."""
    if s.options.get("class_weights") != "balanced":
        return s
    return replace(s, options={**s.options, "class_weights": balanced(found.class_shares)})


def check_run(s: Settings) -> tuple[Settings, list[str]]:
    """What can be wrong with a run before any data are read; settings with the method's own choices filled in, and notes.

    Raises InputError for an unknown method or option, or a crop or batch too small for the method.
    """
    if s.method not in METHODS:
        raise unknown("method", s.method, METHODS)
    cls, notes = METHODS[s.method], []
    cls.check_options(s.method, s.options)
    # all options by name, so that a run's configuration means the same when defaults change
    s = replace(s, options={**cls.options(), **s.options})
    side = cls.smallest_crop(s.options, s.output_stride)
    if s.crop % side:
        raise InputError(
            f"method {s.method} needs a crop that is a multiple of {side} px, not {s.crop}: half of it is seen at full "
            f"resolution, and that must be a multiple of 32; try {max(side, round(s.crop / side) * side)}"
        )
    if s.batch_size < 2:
        raise InputError("batch size 1 leaves batch norm without a batch to normalise by: use 2 or more")
    if s.rare_temperature is None:
        s = replace(s, rare_temperature=cls.rare_temperature)
    if s.target_statistics is None:
        s = replace(s, target_statistics=cls.target_statistics)
    if "strided" in cls.options():  # scale the discriminators to the crop
        wanted = s.options.get("strided", cls.options()["strided"])
        layers = strided_layers(s.crop // s.output_stride, wanted)
        if layers != wanted:
            cells = s.crop // s.output_stride
            notes.append(
                f"the discriminators have {layers} strided layers instead of {wanted}, since a crop of {s.crop} px gives "
                f"{cells} x {cells} feature cells"
            )
        s = replace(s, options={**s.options, "strided": layers})
    return s, notes


def domains_of(s: Settings, given: Given = (None, None)) -> tuple[Domain, Domain]:
    """Source and target: those given as objects, the others found by name. Raises InputError, MissingError; see domain."""
    source, target = given
    if source is None:
        source = domain(s.source, s.data, s.source_bands)
    if target is None and s.target == s.source and s.target_bands == s.source_bands:
        return source, source
    if target is None:
        target = domain(s.target, s.data, s.target_bands, s.gsd if isinstance(s.gsd, float) else None)
    by_name = given[0] is None and s.source_bands is None
    if by_name and target.bands and source.bands and not set(target.bands) <= set(source.bands):
        # another variant of the source may have all the target's bands (Potsdam comes as RGB, IRRG and RGBIR)
        for code in (band_code(target.bands), "RGBIR"):
            try:
                return domain(s.source, s.data, code), target
            except (InputError, MissingError):
                continue
    return source, target


def may_write(folder: Path, overwrite: bool, resume: bool) -> None:
    """Refuse a run folder that exists, or one that cannot be resumed."""
    if resume:
        if not (folder / CHECKPOINT).is_file():
            raise MissingError(f"{folder} holds no {CHECKPOINT}, so there is nothing to resume")
        return
    if next((p for p in (folder, *folder.parents) if p.is_file()), None):
        raise ExistsError(f"{folder} is to be a folder, but it or one above it is a file: choose another --out")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ExistsError(
            f"{folder} exists: pass --resume to go on with it, --overwrite to replace it, or another --out"
        )


def prepare(folder: Path) -> None:
    """Make the run folder, without the results of a run that it replaces."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (WEIGHTS, SPEC, CHECKPOINT, CURVE, "metrics.csv", "hparams.yaml", "log.txt", "label_free.json"):
        (folder / old).unlink(missing_ok=True)
    for scores in folder.glob("scores_*"):
        scores.unlink()


def adapt(
    s: Settings, folder: Path, overwrite: bool = False, resume: bool = False, quiet: bool = False,
    callbacks: list[Callback] | None = None, given: Given = (None, None),
) -> Method:  # fmt: skip
    """Train; write config.yaml, weights.safetensors, spec.json, last.ckpt, metrics.csv and log.txt into ``folder``;
    with ``score_every`` target_curve.csv too.

    Args:
        given: source and target where they are objects; the settings name the others.
    """
    s, notes = check_run(s)
    may_write(folder, overwrite, resume)
    device = pick_device(s.device)
    if device.type == "cpu":
        keep_freed_memory()
    precision = pick_precision(s.precision, device)
    domains = domains_of(s, given)
    found, start = common_ground(s, domains)
    told, s = s, with_class_weights(s, found)
    method = build(s, found, start)
    if not resume:  # only now, when nothing of the input can be wrong any more
        prepare(folder)
    (folder / CONFIG).write_text(dump(told))
    file = logging.FileHandler(folder / "log.txt")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    file.setLevel(logging.DEBUG)
    logger.addHandler(file)
    if logger.level == logging.NOTSET:  # called from Python: the file gets what the command line's gets
        logger.setLevel(logging.DEBUG)
    try:
        for note in [*notes, *found.notes]:
            logger.warning("note: %s", note)
        spec = found.target_spec
        logger.info(
            "%s -> %s by %s: %d source scenes, %d target scenes, bands %s, GSD %s, %s, %s on %s",
            s.source, s.target, s.method, len(found.source), len(found.target), ", ".join(spec.bands),
            f"{found.gsd:g} m" if found.gsd else "native", f"{s.encoder} {s.decoder}", precision, device,
        )  # fmt: skip
        logger.info("class shares of the source: %s", ", ".join(
            f"{n} {v:.1%}" for n, v in zip(spec.legend.names, found.class_shares, strict=True)
        ))  # fmt: skip
        method.to(memory_format=torch.channels_last)
        began = time.monotonic()
        watching = _curve(s, domains[1], folder, precision, resume)
        _train(method, s, found, folder, device, precision, resume, quiet, [*watching, *(callbacks or [])])
        if s.target_statistics:
            with autocast(precision, device):
                images = (x.to(device) for x in target_batches(found, s, STATISTICS_BATCHES))
                norms = estimate_statistics(method.model.to(device), images)
            logger.info("the running statistics of %d batch norms were estimated on the target", norms)
        save_run(folder, method, s, spec)
        logger.info("trained %d steps in %.0f s; wrote %s", s.steps, time.monotonic() - began, folder)
    finally:
        logger.removeHandler(file)
        file.close()
    return method


def _curve(s: Settings, target: Domain, folder: Path, precision: str, resume: bool) -> list[Callback]:
    if not s.score_every:
        return []
    if not target.has_labels(s.score_split):
        logger.warning(
            "note: %s has no labelled split '%s', so there is no curve of its scores", target.name, s.score_split
        )
        return []
    first = checkpoint_step(folder) if resume else 0
    return [TargetCurve(folder, target, s.score_split, s.score_every, precision, first)]


def _train(
    method: Method, s: Settings, found: Pair, folder: Path, device: torch.device, precision: str, resume: bool,
    quiet: bool, callbacks: list[Callback],
) -> None:  # fmt: skip
    every = max(1, s.steps // 10)
    images = s.batch_size * (2 if method.needs_target else 1)
    keep = ModelCheckpoint(
        dirpath=folder, filename="last", every_n_train_steps=every, save_top_k=1, enable_version_counter=False,
        save_on_train_epoch_end=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        trainer = L.Trainer(
            max_steps=s.steps, accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            logger=CSVLogger(folder, name="", version="", flush_logs_every_n_steps=20), log_every_n_steps=min(10, s.steps),
            callbacks=[keep, Milestones(), *([] if quiet else [Bar(images)]), *callbacks], enable_progress_bar=not quiet,
            enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        first = checkpoint_step(folder) if resume else 0
        metrics = folder / "metrics.csv"
        before = _rows_before(metrics, first)  # the logger starts the file anew
        if first >= s.steps:
            logger.info("the checkpoint is already at step %d of %d", first, s.steps)
        try:
            trainer.fit(
                method, loader(found, s, method.needs_target, first),
                ckpt_path=str(folder / CHECKPOINT) if resume else None, weights_only=True,
            )  # fmt: skip
        except RsudaError as error:
            # a worker that reads patches hands over its whole traceback as the message, whose last line is the error
            *_, last = str(error).strip().splitlines()
            raise type(error)(last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from error
        trainer.save_checkpoint(folder / CHECKPOINT)
        if before and metrics.is_file():
            metrics.write_text("".join(before + metrics.read_text().splitlines(keepends=True)[1:]))


def _rows_before(metrics: Path, step: int) -> list[str]:
    """Header and rows of a run's metrics up to a step, or nothing."""
    lines = metrics.read_text().splitlines(keepends=True) if metrics.is_file() else []
    if not lines:
        return []
    column = lines[0].strip().split(",").index("step")
    return [lines[0], *(line for line in lines[1:] if int(line.strip().split(",")[column]) < step)]
