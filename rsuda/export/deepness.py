"""What QGIS's plugin Deepness reads from the metadata of an ONNX file, so that nobody has to type it in."""

from __future__ import annotations

import json

from rsuda.core.spec import Spec


def deepness_metadata(spec: Spec, window: int, overlap: int) -> dict[str, str]:
    """Keys and JSON values of a segmentation model whose input is standardised and whose output are probabilities.

    Deepness feeds ``(v / 255 - mean) / std`` whatever the type of the pixels v. The mean and deviation given here are those
    for which that is what the spec says, so they also hold for imagery that is not 8-bit.

    Args:
        window: pixels per side of the network's input.
        overlap: pixels that neighbouring windows share; Deepness takes whole percents.
    """
    across = [high - low for low, high in zip(spec.low, spec.high, strict=True)]
    mean = [(low + m * a) / 255 for low, m, a in zip(spec.low, spec.mean, across, strict=True)]
    std = [s * a / 255 for s, a in zip(spec.std, across, strict=True)]
    told = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(spec.legend.names)),
        "resolution": round(100 * spec.gsd, 6),  # centimetres
        "tile_size": window,  # what the plugin reads
        "tiles_size": window,  # what its documentation says
        "tiles_overlap": round(100 * overlap / window),
        "standardization_mean": mean,
        "standardization_std": std,
        "seg_thresh": 0.0,  # below a threshold it gives pixels to the first class
        "seg_small_segment": 0,  # a median filter otherwise
    }
    return {key: json.dumps(value) for key, value in told.items()}
