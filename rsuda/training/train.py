"""Train a method on a pair of domains, and write a run folder."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError
from rsuda.core.settings import CONFIG, Settings, dump, is_auto
from rsuda.core.spelling import spell, spell_command
from rsuda.core.threads import advice_on_threads
from rsuda.data.checks.suitability import domain_doubts
from rsuda.data.find_domain import Objects, training_domains
from rsuda.data.pairs.pair import Pair
from rsuda.data.pairs.patches import target_batches
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision, use_threads
from rsuda.learning.encoders.build import encoder_notes
from rsuda.learning.source_bank import SourceBank
from rsuda.learning.target_statistics import estimate_statistics
from rsuda.methods.base import Method
from rsuda.runs.folders import CHECKPOINT, saved_settings
from rsuda.runs.weights import TrainedNetwork, checkpoint_step, save_run
from rsuda.training.bank import make_bank
from rsuda.training.build import build, check_run, common_ground, options_for_pair
from rsuda.training.loop import fit
from rsuda.training.method_module import MethodModule
from rsuda.training.processes import Processes, processes
from rsuda.training.provenance import about_run, changes_on_resume, write_about
from rsuda.training.run_folder import RunFolder, explained_writes, run_log

STATISTICS_BATCHES = 25

logger = logging.getLogger("rsuda")


def train(
    settings: Settings,
    folder: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = False,
    callbacks: list[Callback] | None = None,
    objects: Objects = (None, None),
) -> Method:
    """Train, and write config.yaml, weights.safetensors, spec.json, run.json, last.ckpt, metrics.csv and log.txt.

    Whenever the process ends, each of these files is complete or absent. A resumed run ends with the weights of an
    uninterrupted one. If several processes train together, number 0 writes and returns.

    Args:
        folder: the run folder.
        overwrite: replace a run in the folder.
        resume: continue from the last checkpoint, or from step 0 without one.
        quiet: show no bar of progress.
        callbacks: Lightning callbacks to add to the package's own.
        objects: source and target as objects; the settings name the others.

    Returns:
        the trained method; ``method.model`` is the network.

    Raises:
        InputError, MissingError: data or settings that cannot be trained on, ``overwrite`` and ``resume`` together, or a
            checkpoint beyond the last step; see ``rsuda.training.loop.fit``.
        SystemExit: in the processes other than number 0, at the end of training.
        ExistsError: the folder holds another run, or another process is writing it.
        WriteError: the folder cannot be written to.
    """
    if overwrite and resume:
        raise InputError(
            f"{spell('resume', True)} continues a run, and {spell('overwrite', True)} replaces it: pass one of them"
        )
    device = pick_device(settings.training.device)
    team = processes(settings.training.devices, settings.training.nodes, device)
    settings, notes = check_run(settings, team.count)
    settings = settings.changed({"training.devices": team.devices})
    if resume:
        settings = _as_begun(settings, folder)
        _check_steps(settings, folder)
    if not team.first:
        _train_along(_prepare(settings, objects, device, team), folder, callbacks or [], resume=resume)
    with RunFolder(folder, overwrite=overwrite, resume=resume) as run_folder:
        job = _prepare(settings, objects, device, team)
        notes += run_folder.open()
        notes += _describe(job, settings.changed(job.pair.alignment.as_settings()), run_folder)
        with run_log(folder):
            for note in [
                *notes,
                *_thread_notes(job),
                *_bank_notes(job),
                *job.pair.notes,
                *job.module.method.notes,
                *encoder_notes(job.module.method.model),
                *domain_doubts(job.pair.target, job.pair.target_spec),
            ]:
                logger.warning("note: %s", note)
            _train_first(job, folder, callbacks or [], resume=run_folder.resume, quiet=quiet)
    return job.module.method


@dataclass(frozen=True)
class _Job:
    """Training that can begin: a method, its data, and where it runs. The settings include the class weights."""

    module: MethodModule
    settings: Settings
    pair: Pair
    start: TrainedNetwork | None
    device: torch.device
    precision: str
    team: Processes

    def fit(self, folder: Path, callbacks: list[Callback], *, resume: bool, quiet: bool) -> None:
        fit(
            self.module,
            self.settings,
            self.pair,
            folder,
            self.device,
            self.precision,
            resume=resume,
            quiet=quiet,
            callbacks=callbacks,
            team=self.team,
        )


def _as_begun(settings: Settings, folder: Path) -> Settings:
    """Take what was chosen for 'auto' at a run's beginning, so that it stays when files of the domains have changed."""
    if not (folder / CONFIG).is_file():
        return settings
    values = saved_settings(folder).by_name()
    return settings.changed({name: values[name] for name, value in settings.by_name().items() if is_auto(name, value)})


def _check_steps(settings: Settings, folder: Path) -> None:
    """Raise InputError where a run's checkpoint is beyond the last step: its settings would not be those of its weights."""
    step = checkpoint_step(folder) if (folder / CHECKPOINT).is_file() else 0
    if step > settings.training.steps:
        raise InputError(
            f"{spell('steps')} is {settings.training.steps}, and the checkpoint of {folder} is at step {step}: pass "
            f"{spell('steps', step)} or more"
        )


def _prepare(settings: Settings, objects: Objects, device: torch.device, team: Processes) -> _Job:
    """Read the domains and build the method. Everything that can be wrong with the input is found before it returns."""
    use_threads(settings.training.threads)
    if device.type == "cpu":
        keep_freed_memory()
    precision = pick_precision(settings.training.precision, device)
    settings, pair, start = common_ground(settings, training_domains(settings, objects))
    settings = options_for_pair(settings, pair)
    module = build(settings, pair, start)
    module.to(memory_format=torch.channels_last)
    return _Job(module, settings, pair, start, device, precision, team)


def _describe(job: _Job, settings: Settings, run_folder: RunFolder) -> list[str]:
    """Write config.yaml and run.json. Return notes on what differs from the start of a run that is resumed."""
    folder = run_folder.path
    with explained_writes(folder):
        with atomic_write(folder / CONFIG, overwrite=True) as temporary:
            temporary.write_text(dump(settings), encoding="utf-8", newline="\n")
        about = about_run(job.pair, job.device, job.precision)
        if run_folder.resume:
            return changes_on_resume(folder, about, checkpoint_step(folder))
        write_about(folder, about)
    return []


def _train_along(job: _Job, folder: Path, callbacks: list[Callback], *, resume: bool) -> NoReturn:
    """Train in a process other than number 0: write nothing, and end the process."""
    logger.setLevel(logging.ERROR)
    job.fit(folder, callbacks, resume=resume and (folder / CHECKPOINT).is_file(), quiet=True)
    raise SystemExit(0)


def _train_first(job: _Job, folder: Path, callbacks: list[Callback], *, resume: bool, quiet: bool) -> None:
    """Train in process number 0, and save the model."""
    begin = time.monotonic()
    _log_job(job)
    if resume:
        logger.info("going on from the checkpoint of step %d", checkpoint_step(folder))
    _log_batches(job)
    job.fit(folder, callbacks, resume=resume, quiet=quiet)
    bank = _bank(job)
    if job.settings.align.target_statistics or job.module.method.ends_on_target:
        _use_target_statistics(job)
    save_run(folder, job.module.method.model, job.pair.target_spec, job.settings.method.name, bank)
    logger.info("trained %d steps in %.0f s; wrote %s", job.settings.training.steps, time.monotonic() - begin, folder)


def _thread_notes(job: _Job) -> list[str]:
    """Advise fewer threads beside busy programs, where the user has chosen no number."""
    if job.device.type != "cpu" or job.settings.training.threads is not None:
        return []
    advice = advice_on_threads(torch.get_num_threads() * job.team.count)
    return [advice] if advice else []


def _bank(job: _Job) -> SourceBank | None:
    """Choose the bank that is saved with the model; a run without the source's data passes on its start's."""
    if not job.settings.training.bank:
        return None
    if not job.pair.source:
        return job.start.bank if job.start else None
    return make_bank(job.module.method, job.settings, job.pair, job.device)


def _bank_notes(job: _Job) -> list[str]:
    """Note that neither the source's data nor a bank of it is there to choose pseudo labels by."""
    if job.pair.source or job.start is None or job.start.bank is not None:
        return []
    return [
        f"{job.settings.network.start} keeps no class means of its source, so pseudo labels are chosen by confidence alone: "
        f"with the source's data, {spell_command('adapt', out=job.settings.network.start, resume=True)} adds them"
    ]


def _log_job(job: _Job) -> None:
    settings, pair, spec = job.settings, job.pair, job.pair.target_spec
    logger.info(
        "%s -> %s by %s: %s%d target scenes, bands %s, GSD %s, encoder %s, decoder %s, %s on %s",
        settings.source.title or settings.network.start,
        settings.target.name,
        settings.method.name,
        f"{len(pair.source)} source scenes, " if pair.source else "",
        len(pair.target),
        ", ".join(spec.bands),
        f"{pair.gsd:g} m" if pair.gsd else "native",
        settings.network.encoder,
        settings.network.decoder,
        job.precision,
        job.device,
    )
    if pair.hints and "hint_accuracy" not in settings.method.options:
        logger.info("method %s does not use the hints of the target", settings.method.name)
    if pair.source:
        shares = zip(spec.legend.names, pair.class_shares, strict=True)
        logger.info("class shares of the source: %s", ", ".join(f"{name} {share:.1%}" for name, share in shares))


def _log_batches(job: _Job) -> None:
    """Log the size of a step that is more than one batch of one process."""
    team, training = job.team, job.settings.training
    if team.count == training.accumulate == 1:
        return
    logger.info(
        "%d processes on %d nodes, %d batches a step: %d patches of each domain in a step",
        team.count,
        team.nodes,
        training.accumulate,
        team.count * training.accumulate * training.batch_size,
    )


def _use_target_statistics(job: _Job) -> None:
    """Estimate batch norm's running statistics on the target: process 0 alone, in batches of all processes' size."""
    batch_size = job.settings.training.batch_size * job.team.count
    settings = job.settings.changed({"training.batch_size": batch_size})
    with autocast(job.precision, job.device):
        images = (x.to(job.device) for x in target_batches(job.pair, settings, STATISTICS_BATCHES))
        norms = estimate_statistics(job.module.method.model.to(job.device), images)
    logger.info(
        "the model's normalisation now follows the target's colours (statistics of %d batch norm layers)", norms
    )
