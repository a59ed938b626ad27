"""Import the base of Lightning's callbacks after ``rsuda.training`` has loaded Lightning without torch's compiler."""

from lightning.pytorch.callbacks import Callback as Callback
