"""Networks and what they are measured by. Never rasterio."""

from rsuda.learning.quick_imports import import_encoders

import_encoders()
