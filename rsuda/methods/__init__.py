"""One paper, one file."""

from rsuda.methods.base import Method
from rsuda.methods.source_only import SourceOnly
from rsuda.methods.st_dasegnet import STDASegNet

METHODS: dict[str, type[Method]] = {
    "source-only": SourceOnly,
    "st-dasegnet": STDASegNet,
}
