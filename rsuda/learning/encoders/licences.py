"""Say which licence the pretrained weights of an encoder have."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import timm

from rsuda.learning.encoders.timm_encoders import PREFIX

_NOT_COMMERCIAL = "research and evaluation alone, nothing commercial"
_OF_SMP = {
    "mit_": f"NVIDIA's source code licence: {_NOT_COMMERCIAL}",
    "mobilenet_v2": "BSD-3-Clause, by torchvision",
    "resnet": "BSD-3-Clause, by torchvision",
    "densenet": "BSD-3-Clause, by torchvision",
    "vgg": "BSD-3-Clause, by torchvision",
}
_OF_TIMM = {
    "dinov3-license": "the DINOv3 licence of Meta, which has terms for users and for what they pass on",
    "fastvit-license": "Apple's licence for these weights",
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
}


def licence_note(encoder: str) -> str:
    """Say which licence the weights that are downloaded for an encoder have, or where it is written."""
    if encoder.startswith(PREFIX):
        cfg = timm.get_pretrained_cfg(encoder.removeprefix(PREFIX), allow_unregistered=True)
        name = str(cfg.license or "") if cfg else ""
        home = f"https://huggingface.co/{cfg.hf_hub_id}" if cfg and cfg.hf_hub_id else "timm's page of the model"
        terms = _OF_TIMM.get(name, f"{name}: {_NOT_COMMERCIAL}" if "-nc" in name else name)
    else:
        pretrained = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings", {}).get("imagenet", {})
        home = f"https://huggingface.co/{pretrained.get('repo_id', '')}"
        terms = next((text for start, text in _OF_SMP.items() if encoder.startswith(start)), "")
    if not terms:
        return f"the licence of the weights of {encoder} is written at {home}"
    return f"the weights of {encoder} have the licence {terms} ({home})"
