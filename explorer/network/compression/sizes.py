"""How large a compressed network is: a number has no meaning without its codec, so each has one."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.network.compression.quantization import BITS, Codes, Container, QuantizedTensor

Codec = Literal["file", "dense", "deflate", "entropy"]
CODECS: dict[Codec, str] = {
    "file": "the ONNX file as written",
    "dense": "integer codes in their containers, bit by bit, and the other parameters as they are; zeros cost as much",
    "deflate": "the ONNX file deflated (zlib, level 6), as in a .zip or .gz",
    "entropy": "bound of a coder without context: the entropy of each tensor's codes, the other parameters as they are",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes by codec."""

    file: int
    dense: int
    deflate: int
    entropy: int

    def of(self, codec: Codec) -> int:
        """Return the bytes under one codec."""
        return {"file": self.file, "dense": self.dense, "deflate": self.deflate, "entropy": self.entropy}[codec]


def sizes_by_codec(onnx: bytes, *, coded: Sequence[QuantizedTensor], n_uncompressed_bytes: int) -> Sizes:
    """Return a compressed network's sizes.

    Args:
        onnx: the file.
        coded: every compressed tensor.
        n_uncompressed_bytes: bytes of the parameters that are not compressed (biases, norms).
    """
    return Sizes(
        file=len(onnx),
        dense=n_uncompressed_bytes + sum(-(-tensor.codes.size * BITS[tensor.container] // 8) for tensor in coded),
        deflate=len(zlib.compress(onnx, 6)),
        entropy=n_uncompressed_bytes + int(np.ceil(sum(entropy_bits(tensor.codes) for tensor in coded) / 8)),
    )


def entropy_bits(codes: Codes) -> float:
    """Return n H of a tensor's codes, in bits: what no coder that sees them one by one can beat.

    >>> entropy_bits(np.array([0, 0, 1, 1]))
    4.0
    """
    if not codes.size:
        return 0.0
    # Codes lie within int16, so counting them in 65,536 places is linear where sorting them would not be.
    counts = np.bincount(codes.ravel().astype(np.int64) - int(codes.min()))
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / codes.size)).sum()) + 0.0


def pack_codes(codes: Codes, container: Container) -> bytes:
    """Return codes as ONNX stores them: little-endian, two int4 in a byte with the first in the low half."""
    if container != "int4":
        return codes.astype("<i1" if container == "int8" else "<i2").tobytes()
    nibbles = (codes.ravel() & 0xF).astype(np.uint8)
    nibbles = np.concatenate([nibbles, np.zeros(nibbles.size % 2, dtype=np.uint8)])
    return (nibbles[::2] | (nibbles[1::2] << 4)).tobytes()
