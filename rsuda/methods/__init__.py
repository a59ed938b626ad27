"""One paper, one file."""

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
