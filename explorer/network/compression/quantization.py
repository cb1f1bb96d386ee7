"""Magnitude pruning, Eq. (4), and uniform quantization, Eq. (5), of weight arrays into integer codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import OutOfRange
from explorer.paper.equations import quantize

Codes = NDArray[np.signedinteger[Any]]
Weights = NDArray[np.floating[Any]]
Container = Literal["int4", "int8", "int16"]
_LARGEST_CODE = 2**62  # int64 holds it; a larger code is outside every container as well
BITS: Mapping[Container, int] = {"int4": 4, "int8": 8, "int16": 16}


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """Integer codes in the shape of their tensor, their container, and the number of clipped codes."""

    codes: Codes
    container: Container
    n_clipped: int


def largest_code(container: Container) -> int:
    """Return the largest magnitude of a code in a container (symmetric range): 7, 127 or 32767."""
    return int(2 ** (BITS[container] - 1) - 1)


def prune(weights: Sequence[Weights], *, ratio: float, per_tensor: bool = False) -> list[Weights]:
    """Set the weights of smallest magnitude to zero, Eq. (4): a share R of all weights, or of each tensor.

    Args:
        weights: tensors of any shapes; they are not modified.
        ratio: the share R to remove, in [0, 1): R n of n weights, rounded to the nearest integer.
        per_tensor: remove the share R from each tensor instead of from all tensors together.

    Returns:
        New tensors of the same shapes and types. Ties are removed in storage order, so that the weights removed at a
        small R are also removed at a larger one.

    Raises:
        OutOfRange: the ratio is outside [0, 1).
    """
    if not 0 <= ratio < 1:
        raise OutOfRange("pruning_ratio", ratio, allowed="[0, 1)", fix="give the share of weights to remove")
    if per_tensor and len(weights) > 1:
        return [prune([tensor], ratio=ratio)[0] for tensor in weights]
    sizes = [tensor.size for tensor in weights]
    magnitudes = np.concatenate([np.abs(tensor).ravel() for tensor in weights]) if weights else np.empty(0)
    is_pruned = _smallest(magnitudes, n=round(ratio * magnitudes.size))
    masks = np.split(is_pruned, np.cumsum(sizes)[:-1])
    return [
        np.where(mask.reshape(tensor.shape), tensor.dtype.type(0), tensor)
        for mask, tensor in zip(masks, weights, strict=True)
    ]


def _smallest(magnitudes: Weights, *, n: int) -> NDArray[np.bool_]:
    """Return a mask of the n smallest values, shape (size,), in linear time."""
    if n == 0:
        return np.zeros(magnitudes.size, dtype=np.bool_)
    threshold = np.partition(magnitudes, n - 1)[n - 1]
    is_smallest = np.asarray(magnitudes < threshold)
    is_smallest[np.flatnonzero(magnitudes == threshold)[: n - int(is_smallest.sum())]] = True
    return is_smallest


def integer_codes(weights: Weights, *, step: float) -> Codes:
    """Return the integer codes of Eq. (5), w_q / D = round(w / D), in the shape of the weights.

    Raises:
        OutOfRange: the step is not positive, or a weight is not a number.

    >>> integer_codes(np.array([0.07, -0.031, 0.0499]), step=0.02)
    array([ 4, -2,  2])
    """
    codes = np.rint(quantize(weights, step=step) / step)
    return np.asarray(np.clip(codes, -_LARGEST_CODE, _LARGEST_CODE), dtype=np.int64)


def _narrow_dtype(codes: Codes) -> Codes:
    """Return codes as int8 if they fit, else int16: a network has millions of them."""
    return codes.astype(np.int8 if np.abs(codes).max(initial=0) <= largest_code("int8") else np.int16)


def narrowest_container(codes: Codes, *, step: float) -> Container:
    """Return the narrowest container for all codes: int4 up to 7, int8 up to 127, int16 up to 32767.

    Raises:
        OutOfRange: a code does not fit int16.
    """
    largest = int(np.abs(codes).max(initial=0))
    for container in BITS:
        if largest <= largest_code(container):
            return container
    raise OutOfRange(
        "quant_step",
        step,
        allowed=f"the range of int16 codes: the largest weight is {largest:,} steps, the limit is 32,767",
        fix=f"take a step of at least {largest * step / 32767:.3g}, or allow clipping",
    )


def quantize_to_codes(weights: Weights, *, step: float, clip_to: Container | None = None) -> QuantizedTensor:
    """Quantize a tensor to codes in the narrowest container, or clipped to a given one.

    Raises:
        OutOfRange: the step is not positive, or a code does not fit int16 and `clip_to` is None.
    """
    codes = integer_codes(weights, step=step)
    if clip_to is None:
        return QuantizedTensor(_narrow_dtype(codes), narrowest_container(codes, step=step), 0)
    limit = largest_code(clip_to)
    n_clipped = int((np.abs(codes) > limit).sum())
    clipped = np.clip(codes, -limit, limit)
    return QuantizedTensor(_narrow_dtype(clipped), narrowest_container(clipped, step=step), n_clipped)
