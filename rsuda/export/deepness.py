"""Describe a model for QGIS's plugin Deepness, which reads its parameters from the metadata of an ONNX file."""

from __future__ import annotations

import json

from rsuda.core.spec import Spec


def deepness_metadata(spec: Spec, window: int, overlap: int) -> dict[str, str]:
    """Describe a segmentation model with standardised input and probabilities as output: keys and JSON values.

    Deepness computes ``(v / 255 - mean) / std`` of pixels v of any type. The mean and deviation in the metadata make that
    equal to ``spec.standardise``, so they also hold for imagery that is not 8-bit.

    Args:
        window: pixels per side of the model's input.
        overlap: pixels by which neighbouring windows overlap; Deepness reads whole percents.
    """
    mean, std = spec.raw_statistics()
    metadata = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(spec.legend.names)),
        "resolution": round(100 * spec.gsd, 6),  # centimetres
        "tile_size": window,  # the key that the plugin reads
        "tiles_size": window,  # the key in its documentation
        "tiles_overlap": round(100 * overlap / window),
        "standardization_mean": [value / 255 for value in mean],
        "standardization_std": [value / 255 for value in std],
        "seg_thresh": 0.0,  # pixels below a threshold become the first class
        "seg_small_segment": 0,  # no median filter
    }
    return {key: json.dumps(value) for key, value in metadata.items()}
