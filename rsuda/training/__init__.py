"""Train a method on a domain pair."""

from rsuda.learning.quick_imports import import_lightning

import_lightning()
