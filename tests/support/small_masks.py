"""Draw small class masks by hypothesis, and convert between pixels, strips and runs."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rsuda.geo.polygons.run_lengths import encode

masks = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 4, 255])
)
blocks = st.sampled_from([1, 5, 7, 1 << 22])


def strips(whole, cuts):
    """The rows of an array in strips; ``cuts`` are any whole numbers."""
    edges = [0, *sorted({c % len(whole) for c in cuts}), len(whole)]
    return [whole[a:b] for a, b in pairwise(edges)]


def read(classes):
    return encode([classes], *classes.shape)


def drawn(runs, per_run):
    """A value per run as an array of pixels."""
    line = np.repeat(per_run, np.diff(runs.start)).reshape(runs.height + 2, runs.stride)
    return line[1:-1, :-1]
