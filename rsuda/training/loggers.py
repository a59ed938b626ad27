"""Send a run's metrics to trackers of experiments, beside metrics.csv: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from rsuda.core.errors import check_extra
from rsuda.core.settings import Settings

TRACKERS = ("tensorboard", "mlflow", "wandb")  # extras of rsuda, packages, and folders in the run folder
_ID = "id.txt"  # of a tracker's run, beside its files


def check_loggers(names: Iterable[str]) -> None:
    """Raise InputError, with the line for pip, where the package of a tracker is not installed."""
    for name in names:
        check_extra(name, name)


def build_loggers(settings: Settings, folder: Path, first: int = 0) -> list[Logger]:
    """Build the loggers of a run; each keeps its files in the run folder and goes on with its run on resume.

    MLflow logs to MLFLOW_TRACKING_URI where it is set, W&B to its server unless WANDB_MODE is 'offline'.

    Args:
        first: the step that a resumed run continues from.
    """
    loggers = [_BUILDERS[name](settings, folder, first) for name in dict.fromkeys(settings.training.loggers)]
    if not first:  # MLflow refuses settings that differ, such as the steps of a longer run
        for logger in loggers:
            logger.log_hyperparams({name: str(value) for name, value in settings.by_name().items()})
    return loggers


def _tensorboard(settings: Settings, folder: Path, first: int) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    # steps after the checkpoint are logged again
    return TensorBoardLogger(folder, name="tensorboard", version="", purge_step=first or None)


def _mlflow(settings: Settings, folder: Path, first: int) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    place = folder / "mlflow"
    place.mkdir(exist_ok=True)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(place / 'mlflow.db').absolute()}"
    logger = MLFlowLogger(
        experiment_name="rsuda",
        run_name=folder.name,
        tracking_uri=address,
        run_id=_saved_id(place),
        artifact_location=None if "MLFLOW_TRACKING_URI" in os.environ else place.absolute().as_uri(),
    )
    _save_id(place, str(logger.run_id))
    return logger


def _wandb(settings: Settings, folder: Path, first: int) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    place = folder / "wandb"
    place.mkdir(exist_ok=True)
    logger = WandbLogger(
        name=folder.name,
        save_dir=folder,
        project="rsuda",
        id=_saved_id(place),
        resume="allow",
        offline=os.environ.get("WANDB_MODE") == "offline",
        settings=_quiet_wandb(),
    )
    _save_id(place, str(logger.experiment.id))
    return logger


def _quiet_wandb() -> Any:
    import wandb

    return wandb.Settings(silent=True, console="off")


def _saved_id(place: Path) -> str | None:
    file = place / _ID
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def _save_id(place: Path, name: str) -> None:
    (place / _ID).write_text(name, encoding="utf-8", newline="\n")


_BUILDERS: dict[str, Callable[[Settings, Path, int], Logger]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
