"""State the class weights of ST-DASegNet's paper for each of its tasks."""

from __future__ import annotations

from typing import NamedTuple

from rsuda.core.errors import InputError


class PaperWeights(NamedTuple):
    """Weights of classes in the cross entropy of H_S and of H_T, and factors c of pseudo labels, in the order of ``classes``."""

    classes: tuple[str, ...]
    h_s: tuple[float, ...]
    h_t: tuple[float, ...]
    c: tuple[float, ...]


ISPRS = ("impervious surface", "building", "low vegetation", "tree", "car", "clutter")
LOVEDA = ("background", "building", "road", "water", "barren", "forest", "agricultural")
_LESS, _MORE = (1.0, 1.0, 1.0, 1.25, 1.5, 1.5), (1.0, 1.0, 1.25, 1.25, 1.5, 1.5)
_RURAL, _URBAN = (1.25, 1.0, 1.25, 1.0, 1.5, 1.25, 1.0), (1.0, 1.25, 1.25, 1.0, 1.5, 1.5, 1.25)
# the released code writes c as 1.01, 1.51, 2.01 for a reason of its own (relabelling in place)
_C = (1.0, 1.0, 1.5, 1.5, 2.0, 2.0)

PAPER_WEIGHTS = {
    "potsdam-vaihingen": PaperWeights(ISPRS, _LESS, _MORE, _C),  # and Vaihingen to Potsdam RGB
    "vaihingen-potsdam": PaperWeights(ISPRS, _MORE, _MORE, _C),  # IRRG
    "isprs-resnet50": PaperWeights(ISPRS, _LESS, _LESS, _C),
    "rural-urban": PaperWeights(LOVEDA, _RURAL, _RURAL, (1.5, 1.0, 1.5, 1.0, 2.0, 1.5, 1.0)),
    "urban-rural": PaperWeights(LOVEDA, _URBAN, _URBAN, (1.0, 1.5, 1.5, 1.0, 2.0, 2.0, 1.5)),
}


def paper_weights(task: str, names: tuple[str, ...]) -> PaperWeights:
    """Return the weights of a task, in the order of a legend's ``names``.

    Args:
        task: of PAPER_WEIGHTS, or 'paper' for the first with these classes; without such a task, weights are 1.

    Raises InputError for a task with other classes.
    """
    if task == "paper":
        task = next((t for t, w in PAPER_WEIGHTS.items() if set(w.classes) == set(names)), "")
    if not task:
        ones = (1.0,) * len(names)
        return PaperWeights(names, ones, ones, ones)
    weights = PAPER_WEIGHTS[task]
    if set(weights.classes) != set(names):
        raise InputError(
            f"option class_weights is {task}, a task with the classes {', '.join(weights.classes)}, and the source has "
            f"{', '.join(names)}: use paper, none, balanced or one number per class"
        )
    order = [weights.classes.index(name) for name in names]
    return PaperWeights(names, *(tuple(values[k] for k in order) for values in weights[1:]))
