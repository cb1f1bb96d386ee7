"""Pruning and quantizing as arithmetic: weights in, integer codes of Eq. (5) out; no file, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import OutOfRange
from explorer.paper.equations import pruning_ratio, quantize

Codes = NDArray[np.signedinteger[Any]]
Weights = NDArray[np.floating[Any]]
Container = Literal["int4", "int8", "int16"]
BITS: Mapping[Container, int] = {"int4": 4, "int8": 8, "int16": 16}


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """One tensor's integer codes (their shape is the tensor's), what holds them, and how many were clipped."""

    codes: Codes
    container: Container
    n_clipped: int


def largest_code(container: Container) -> int:
    """Return the largest code of a container, used on both sides of zero: 7, 127 or 32767."""
    return int(2 ** (BITS[container] - 1) - 1)


def prune(weights: Sequence[Weights], *, ratio: float, per_tensor: bool = False) -> list[Weights]:
    """Set the smallest weights to zero, Eq. (4): a share R of all of them, or of each tensor.

    Args:
        weights: tensors of any shapes; they are not changed.
        ratio: the share R to remove, in [0, 1); of n weights, R n rounded to the nearest whole number go.
        per_tensor: take the share from each tensor alone instead of from all together.

    Returns:
        New tensors of the same shapes and types. Equal magnitudes go in the order in which they stand, so that more
        pruning only ever removes more.

    Raises:
        OutOfRange: the ratio is outside [0, 1).
    """
    if not 0 <= ratio < 1:
        raise OutOfRange("pruning_ratio", ratio, allowed="[0, 1)", fix="give the share of weights to remove")
    if per_tensor and len(weights) > 1:
        return [prune([tensor], ratio=ratio)[0] for tensor in weights]
    sizes = [tensor.size for tensor in weights]
    magnitudes = np.concatenate([np.abs(tensor).ravel() for tensor in weights]) if weights else np.empty(0)
    is_gone = _smallest(magnitudes, n=round(ratio * magnitudes.size))
    parts = np.split(is_gone, np.cumsum(sizes)[:-1])
    return [
        np.where(part.reshape(tensor.shape), tensor.dtype.type(0), tensor)
        for part, tensor in zip(parts, weights, strict=True)
    ]


def _smallest(magnitudes: Weights, *, n: int) -> NDArray[np.bool_]:
    """Mark exactly n of the smallest, shape (size,), in linear time."""
    if n == 0:
        return np.zeros(magnitudes.size, dtype=np.bool_)
    cut = np.partition(magnitudes, n - 1)[n - 1]
    is_gone = np.asarray(magnitudes < cut)
    is_gone[np.flatnonzero(magnitudes == cut)[: n - int(is_gone.sum())]] = True
    return is_gone


def integer_codes(weights: Weights, *, step: float) -> Codes:
    """Return the integer codes of Eq. (5), w_q / D = round(w / D), in the weights' shape.

    Raises:
        OutOfRange: the step is not positive, or a weight is not a number.

    >>> integer_codes(np.array([0.07, -0.031, 0.0499]), step=0.02)
    array([ 4, -2,  2])
    """
    return np.asarray(np.rint(quantize(weights, step=step) / step), dtype=np.int64)


def _stored(codes: Codes) -> Codes:
    """Return codes in the smallest type of numpy's that holds them: a network has millions of them."""
    return codes.astype(np.int8 if np.abs(codes).max(initial=0) <= largest_code("int8") else np.int16)


def narrowest_container(codes: Codes, *, step: float) -> Container:
    """Return the narrowest container that holds all codes: int4 up to 7, int8 up to 127, int16 up to 32767.

    Raises:
        OutOfRange: not even int16 holds them.
    """
    largest = int(np.abs(codes).max(initial=0))
    for container in BITS:
        if largest <= largest_code(container):
            return container
    raise OutOfRange(
        "quant_step",
        step,
        allowed=f"what int16 can hold: the largest weight is {largest:,} steps, the limit is 32,767",
        fix=f"take a step of at least {largest * step / 32767:.3g}, or allow clipping",
    )


def quantize_to_codes(weights: Weights, *, step: float, clip_to: Container | None = None) -> QuantizedTensor:
    """Return one tensor's codes in the narrowest container, or clipped to a given one, the clipped ones counted.

    Raises:
        OutOfRange: the step is not positive, or int16 does not hold the codes and clipping was not asked for.
    """
    codes = integer_codes(weights, step=step)
    if clip_to is None:
        return QuantizedTensor(_stored(codes), narrowest_container(codes, step=step), 0)
    limit = largest_code(clip_to)
    n_clipped = int((np.abs(codes) > limit).sum())
    clipped = np.clip(codes, -limit, limit)
    return QuantizedTensor(_stored(clipped), narrowest_container(clipped, step=step), n_clipped)


def effective_ratio(codes: Sequence[Codes]) -> float:
    """Return R_eff, Eq. (4) after rounding: the share of codes that are zero, whether pruned or rounded away."""
    total = sum(tensor.size for tensor in codes)
    left = sum(int(np.count_nonzero(tensor)) for tensor in codes)
    return float(pruning_ratio(total_weights=total, remaining_weights=left))
