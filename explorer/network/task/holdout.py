"""Held-back samples: a stratified, reproducible share of labelled data that a search does not see."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile
from explorer.network.task.labelled_data import LabelledData, Samples, make_labelled_data, take_inputs, take_samples

HOW = "stratified by class (other labels: one class), order by SplitMix64 seeded with the data's SHA-256"
_U64 = np.uint64


def holdout_mask(data: LabelledData, share: float) -> NDArray[np.bool_]:
    """Return the mask of the samples that are held back, shape (n,).

    Each class gives its share, rounded so that the total is round(share n): the largest remainders first, as in
    proportional allocation (W. G. Cochran, Sampling Techniques, 3rd ed., 1977, section 5.5). Which samples of a class
    are taken depends on the data's SHA-256 alone, so that every process and every later verification makes the same
    split.

    Args:
        data: labelled samples.
        share: the share to hold back, in (0, 1).

    Raises:
        InvalidFile: fewer than two samples, so that none could be held back.
    """
    n = data.n_samples
    if n < 2:
        fault = Fault("array 'y'", "has one sample: none can be held back", "give more samples, or leave holdout out")
        raise InvalidFile(data.source, [fault])
    n_held = min(max(round(share * n), 1), n - 1)
    _, of_class, counts = np.unique(_strata(data.labels), return_inverse=True, return_counts=True)
    keys = random_keys(int(data.sha256[:16], 16), n + len(counts))
    order = keys[:n]
    quota = np.floor(share * counts).astype(np.int64)
    remainder = share * counts - quota
    # Equal remainders are broken at random: in order of the classes, the first ones would be held back more often.
    extra = np.lexsort((keys[n:], -remainder))[: n_held - int(quota.sum())]
    quota[extra] += 1
    ranked = np.lexsort((order, of_class))
    rank_in_class = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    mask = np.zeros(n, dtype=np.bool_)
    mask[ranked] = rank_in_class < quota[of_class[ranked]]
    return mask


def held_back_samples(data: LabelledData, share: float) -> LabelledData:
    """Return the samples that a study with this `holdout` does not see.

    Raises:
        InvalidFile: the data has fewer than two samples.
    """
    mask = holdout_mask(data, share)
    inputs = take_inputs(data.inputs, mask, n=data.n_samples)
    return make_labelled_data(
        {**inputs, "y": take_samples(data.labels, mask)}, source=data.source, predict=data.predict, score=data.score,
        module=data.module,
    )  # fmt: skip


def _strata(labels: Samples) -> NDArray[Any]:
    """Return the class of each sample, shape (n,); labels that are no classes are one."""
    is_class = isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "biuU"
    return np.asarray(labels) if is_class else np.zeros(len(labels), dtype=np.int64)


def random_keys(seed: int, n: int) -> "NDArray[np.uint64]":
    """Return n pseudo-random 64-bit integers, the same with every version of numpy.

    SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    z = np.array([seed], dtype=_U64) + np.arange(1, n + 1, dtype=_U64) * np.array([0x9E3779B97F4A7C15], dtype=_U64)
    z = (z ^ (z >> _U64(30))) * np.array([0xBF58476D1CE4E5B9], dtype=_U64)
    z = (z ^ (z >> _U64(27))) * np.array([0x94D049BB133111EB], dtype=_U64)
    return np.asarray(z ^ (z >> _U64(31)), dtype=_U64)
