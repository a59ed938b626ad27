"""Find the encoder that is meant by a name of another library: torchvision, torch.hub, Hugging Face or OpenCLIP."""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from functools import cache
from math import fsum, log

import segmentation_models_pytorch as smp
import timm

from rsuda.core.display import printable
from rsuda.core.errors import InputError
from rsuda.learning.encoders.timm_encoders import PREFIX

_SIZES = {"n": "nano", "t": "tiny", "s": "small", "b": "base", "l": "large", "h": "huge", "g": "giant"}
_SAME = {"segformer": "mit", "mobilenetv": "mobilenet", "reg": "reg4", "registers": "reg4", "swinv": "swin", "with": ""}
_WORDS = re.compile(r"v\d+|\d+|[a-z]+?(?=v\d)|[a-z]+")
_LEAST = 0.45  # of the words' weight that two names must have in common
_FEW = 0.15  # weight of a number, which sizes of images and patches are


def unknown_encoder(name: str) -> InputError:
    """Build the error for an unknown encoder; it suggests the encoder that the name means elsewhere."""
    text = printable(name if len(name) <= 100 else f"{name[:100]}…")
    near = meant(name)
    hint = f"did you mean '{near}'? " if near else ""
    names_text = ", ".join(sorted(smp.encoders.get_encoder_names()))
    return InputError(f"unknown encoder '{text}': {hint}known are {PREFIX}NAME of timm's models, and {names_text}")


def meant(name: str) -> str | None:
    """Return the encoder that a name most likely means; None for a name unlike all."""
    text = name.strip().lower()
    short = re.sub(r"^(tu-|timm-|hf[-_]hub:|hf:/+|https?://[\w.]+/|timm/)+", "", text).removesuffix("/")
    last = short.rpartition("/")[2]
    every = _names(of_timm=text.startswith(PREFIX))
    for same in (short, short.replace("-", "_"), last, last.replace("-", "_")):
        if near := every.get(same):
            return near
    longer = [key for key in every if key.startswith(f"{short}_") and re.search(r"\d", short)]
    if longer:
        return every[min(longer, key=len)]
    return _by_letters(short, every, 0.87) or _by_words(short) or _by_letters(short, every, 0.6)


def _by_words(text: str) -> str | None:
    """Find the encoder with the most words in common, of which rare ones count more."""
    weights, encoders = _index()
    words_of_name = {word for word in _words(text) if word in weights}
    if not any(weights[word] > _FEW for word in words_of_name):
        return None
    total = fsum(
        weights[word] for word in words_of_name
    )  # exact, as words of a set come in another order in each process

    def likeness(words: frozenset[str]) -> float:
        return (
            2 * fsum(weights[word] for word in words_of_name & words) / (total + fsum(weights[word] for word in words))
        )

    best = max(encoders, key=lambda encoder: (likeness(encoders[encoder]), -len(encoder), "_100" in encoder))
    return best if likeness(encoders[best]) >= _LEAST else None


def _by_letters(text: str, every: dict[str, str], cutoff: float) -> str | None:
    near = get_close_matches(text.replace("-", "_"), every, n=1, cutoff=cutoff)
    return every[near[0]] if near else None


@cache
def _names(*, of_timm: bool) -> dict[str, str]:
    """List all encoders by their names without a prefix, in small letters; of two libraries smp's unless ``of_timm``."""
    timms = {name.lower(): PREFIX + name for name in (*timm.list_models(pretrained=True), *timm.list_models())}
    smps = {name.lower(): name for name in smp.encoders.get_encoder_names()}
    return smps | timms if of_timm else timms | smps


@cache
def _index() -> tuple[dict[str, float], dict[str, frozenset[str]]]:
    """Weigh all words of encoders' names by how rare they are, and list the words of each encoder."""
    encoders = {encoder: frozenset(_words(encoder.removeprefix(PREFIX))) for encoder in _names(of_timm=False).values()}
    counts = Counter(word for words in encoders.values() for word in words)
    weights = {word: _FEW if word.isdigit() else log(2 + len(encoders) / count) for word, count in counts.items()}
    return weights, encoders


def _words(name: str) -> list[str]:
    """Split a name into words: 'dinov3_vits16' and 'vit_small_patch16_dinov3' have the same."""
    text = name if name.rpartition("/")[2].isdigit() else name.rpartition("/")[2]  # OpenCLIP writes ViT-B/16
    words: list[str] = []
    for word in _WORDS.findall(text.lower()):
        size = re.fullmatch(r"(vit|sam|hiera)([tsblhg])", word)
        parts = [size[1], size[2]] if size else [word]
        words += [_SIZES.get(part, _SAME.get(part, part)) for part in parts]
    return [word for word in words if word not in ("", "patch", "window", "pretrain", "pretrained")]
