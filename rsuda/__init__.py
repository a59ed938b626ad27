"""rsuda: segmentation of aerial and satellite imagery with unsupervised domain adaptation.

    run = rsuda.adapt("potsdam", "vaihingen", data="/data/isprs")
    maps = rsuda.predict(["scene.tif"], run, out="maps")

What is listed in ``__all__`` is loaded when it is first used: ``import rsuda`` itself loads nothing.
"""

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from rsuda.core.machine import share_memory_pool
from rsuda.core.threads import set_up_threads
from rsuda.core.version import __version__ as __version__

# read by torch while it is imported: what Apple's GPUs lack is computed on the CPU
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
set_up_threads()
share_memory_pool()

if TYPE_CHECKING:
    from rsuda.accuracy.assess import assess
    from rsuda.accuracy.change import Change, change
    from rsuda.accuracy.results import Assessment
    from rsuda.accuracy.sample import PointSample, sample
    from rsuda.api import adapt, evaluate, suggest
    from rsuda.benchmark.benchmark import benchmark
    from rsuda.core.errors import ExistsError, InputError, MissingError, RsudaError, WriteError
    from rsuda.core.legend import Legend
    from rsuda.core.sample_data import sample_tiles
    from rsuda.data.domains.domain import Domain
    from rsuda.data.drafts.init import init
    from rsuda.data.find_domain import domain
    from rsuda.evaluation.calibrate import calibrate
    from rsuda.evaluation.finished_run import Run
    from rsuda.export.export import export
    from rsuda.inference.polygonize import Polygons, polygonize
    from rsuda.inference.predict import predict
    from rsuda.inference.prediction import Prediction
    from rsuda.inference.segmenter import Segmenter, load
    from rsuda.info.catalogue import domains, methods
    from rsuda.info.gap import gap
    from rsuda.info.info import info
    from rsuda.report.report import report
    from rsuda.serving.serve import serve
    from rsuda.sharing.card import card
    from rsuda.sharing.push import push
    from rsuda.training.datamodule import PairDataModule
else:
    _HOMES = {
        "rsuda.accuracy.assess": ("assess",),
        "rsuda.accuracy.change": ("Change", "change"),
        "rsuda.accuracy.results": ("Assessment",),
        "rsuda.accuracy.sample": ("PointSample", "sample"),
        "rsuda.api": ("adapt", "evaluate", "suggest"),
        "rsuda.evaluation.calibrate": ("calibrate",),
        "rsuda.evaluation.finished_run": ("Run",),
        "rsuda.benchmark.benchmark": ("benchmark",),
        "rsuda.export.export": ("export",),
        "rsuda.inference.polygonize": ("Polygons", "polygonize"),
        "rsuda.inference.predict": ("predict",),
        "rsuda.training.datamodule": ("PairDataModule",),
        "rsuda.data.domains.domain": ("Domain",),
        "rsuda.data.drafts.init": ("init",),
        "rsuda.core.errors": ("ExistsError", "InputError", "MissingError", "RsudaError", "WriteError"),
        "rsuda.data.find_domain": ("domain",),
        "rsuda.core.legend": ("Legend",),
        "rsuda.core.sample_data": ("sample_tiles",),
        "rsuda.inference.segmenter": ("Segmenter", "load"),
        "rsuda.info.catalogue": ("domains", "methods"),
        "rsuda.info.gap": ("gap",),
        "rsuda.info.info": ("info",),
        "rsuda.report.report": ("report",),
        "rsuda.serving.serve": ("serve",),
        "rsuda.sharing.card": ("card",),
        "rsuda.sharing.push": ("push",),
        "rsuda.inference.prediction": ("Prediction",),
    }

    def __getattr__(name):
        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'rsuda' has no attribute '{name}'")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(home), name)
        return value

    class _Package(ModuleType):
        """Keeps a public function where a folder has its name: ``rsuda.info`` is the function, whatever is imported."""

        def __setattr__(self, name, value):
            if not (name in __all__ and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    sys.modules[__name__].__class__ = _Package

    def __dir__():
        return sorted({*globals(), *__all__})


__all__ = [
    "Assessment",
    "Change",
    "Domain",
    "ExistsError",
    "InputError",
    "Legend",
    "MissingError",
    "PairDataModule",
    "PointSample",
    "Polygons",
    "Prediction",
    "RsudaError",
    "Run",
    "Segmenter",
    "WriteError",
    "adapt",
    "assess",
    "benchmark",
    "calibrate",
    "card",
    "change",
    "domain",
    "domains",
    "evaluate",
    "export",
    "gap",
    "info",
    "init",
    "load",
    "methods",
    "polygonize",
    "predict",
    "push",
    "report",
    "sample",
    "sample_tiles",
    "serve",
    "suggest",
]
