"""What runs beside training: the base of Lightning, which is loaded by ``rsuda.training`` without torch's compiler."""

from lightning.pytorch.callbacks import Callback as Callback
