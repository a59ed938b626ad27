"""Find the sample tiles and the encoder that was pretrained on drawn cities: in the installed package, or in a checkout."""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from rsuda.core.atomic import check_writable, make_folder
from rsuda.core.errors import SAMPLE_TILES, ExistsError, InputError, MissingError, write_error
from rsuda.core.spelling import spell

SAMPLE = "sample"  # as network.weights
SAMPLE_DOMAINS = ("potsdam", "vaihingen")
FOLDER = SAMPLE_TILES
_ENCODER, _REFERENCES = "encoder.safetensors", "references.json"
ENCODER_NAME = "tu-lcnet_100"


def sample_folder() -> Path:
    """Return the folder of the sample data: inside the package after an installation, beside it in a checkout.

    Raises:
        MissingError: the package was installed without it.
    """
    package = Path(str(files("rsuda")))
    for folder in (package / FOLDER, package.parent / FOLDER):
        if (folder / _ENCODER).is_file():
            return folder
    raise MissingError(
        f"this installation of rsuda has no {FOLDER}/: install the wheel, or pass {spell('data', 'DIR')}"
    )


def references_file() -> Path:
    """Return the file of scores that were measured on the sample tiles. Raises MissingError without sample data."""
    return sample_folder() / _REFERENCES


def tiles_folder() -> Path:
    """Return the folder of the sample tiles: sample_tiles/ in the working folder, or the package's own.

    Raises:
        MissingError: there is neither.
    """
    local = Path(FOLDER)
    return local if all((local / name).is_dir() for name in SAMPLE_DOMAINS) else sample_folder()


def sample_encoder(encoder: str) -> Path:
    """Return the weights file of preset 'sample'.

    Raises:
        InputError: the weights are of another encoder.
        MissingError: the installation has no sample data.
    """
    if encoder != ENCODER_NAME:
        raise InputError(
            f"the weights 'sample' are those of {ENCODER_NAME}, and the encoder is {encoder}: choose "
            f"{spell('weights', 'imagenet')} (downloaded once) or {spell('weights', 'none')}"
        )
    return sample_folder() / _ENCODER


def sample_tiles(out: str | Path = FOLDER) -> Path:
    """Copy the synthetic sample tiles of two cities, to look at and to try commands on.

    Args:
        out: folder to make; sample_tiles/ in the working directory by default, where ``adapt`` finds it without ``data``.

    Returns:
        the folder, with potsdam/, vaihingen/ and a README; one that has both cities already stays as it is.

    Raises:
        ExistsError: the folder exists and lacks them.

    Example:
        >>> import rsuda
        >>> folder = rsuda.sample_tiles("tiles")
        >>> sorted(file.name for file in folder.iterdir())
        ['README.md', 'potsdam', 'vaihingen']
    """
    folder, origin = Path(out).expanduser(), sample_folder()
    if all((folder / name).is_dir() for name in SAMPLE_DOMAINS):
        return folder
    if folder.exists():
        raise ExistsError(f"{folder} exists and holds other files: choose another {spell('out')}")
    make_folder(folder.parent)
    check_writable(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".sample-", dir=folder.parent))
    try:
        for name in SAMPLE_DOMAINS:
            shutil.copytree(origin / name, temporary / folder.name / name)
        shutil.copyfile(origin / "README.md", temporary / folder.name / "README.md")
        (temporary / folder.name).replace(folder)
    except OSError as error:
        raise write_error(folder, error) or error from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
