"""rsuda: segmentation of aerial and satellite imagery with unsupervised domain adaptation.

    run = rsuda.adapt("potsdam", "vaihingen", data="/data/isprs")
    maps = rsuda.predict(["scene.tif"], run, out="maps")

What is listed in ``__all__`` is loaded when it is first used: ``import rsuda`` itself loads nothing.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rsuda.api import Run, adapt, evaluate, load, predict
    from rsuda.datamodule import PairDataModule
    from rsuda.errors import ExistsError, InputError, MissingError, RsudaError, WriteError
    from rsuda.geo.domains import Domain
    from rsuda.given import domain
    from rsuda.legend import Legend
    from rsuda.segmenter import Segmenter
    from rsuda.verbs.info import info
    from rsuda.verbs.written import Written
else:
    _HOMES = {
        "rsuda.api": ("Run", "adapt", "evaluate", "load", "predict"),
        "rsuda.datamodule": ("PairDataModule",),
        "rsuda.geo.domains": ("Domain",),
        "rsuda.errors": ("ExistsError", "InputError", "MissingError", "RsudaError", "WriteError"),
        "rsuda.given": ("domain",),
        "rsuda.legend": ("Legend",),
        "rsuda.segmenter": ("Segmenter",),
        "rsuda.verbs.info": ("info",),
        "rsuda.verbs.written": ("Written",),
    }

    def __getattr__(name):
        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'rsuda' has no attribute '{name}'")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(home), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})


__all__ = [
    "Domain", "ExistsError", "InputError", "Legend", "MissingError", "PairDataModule", "RsudaError", "Run", "Segmenter",
    "WriteError", "Written", "adapt", "domain", "evaluate", "info", "load", "predict",
]  # fmt: skip
