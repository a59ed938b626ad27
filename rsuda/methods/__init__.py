"""One paper, one file."""

import inspect
import re
from typing import Any

from rsuda.methods.adaptsegnet import AdaptSegNet
from rsuda.methods.base import Method
from rsuda.methods.bicl import BiCL
from rsuda.methods.cluda import CLUDA
from rsuda.methods.dacs import DACS
from rsuda.methods.daformer import DAFormer
from rsuda.methods.hrda import HRDA
from rsuda.methods.mic import MIC
from rsuda.methods.source_only import SourceOnly
from rsuda.methods.st_dasegnet import STDASegNet

METHODS: dict[str, type[Method]] = {
    "source-only": SourceOnly,
    "adaptsegnet": AdaptSegNet,
    "dacs": DACS,
    "daformer": DAFormer,
    "hrda": HRDA,
    "mic": MIC,
    "bicl": BiCL,
    "cluda": CLUDA,
    "st-dasegnet": STDASegNet,
}


def described(name: str) -> dict[str, Any]:
    """What a user should know of a method before choosing it; ``options`` maps each to its default and what it does."""
    cls = METHODS[name]
    trained, looked = cls.passes
    text = inspect.cleandoc(cls.__doc__ or "").partition("Args:")[2]
    told: dict[str, str] = {}
    for names, what in re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", text, re.MULTILINE):
        told |= dict.fromkeys(names.split(", "), " ".join(what.split()))
    return {
        "paper": cls.paper,
        "networks": cls.networks,
        "cost": trained + looked / 3,  # a backward pass costs about two forward ones
        "crop": cls.smallest_crop(cls.options(), 32),
        "reads": "target images, never their labels" if cls.needs_target else "no target image",
        "options": {option: (default, told.get(option, "")) for option, default in cls.options().items()},
    }
