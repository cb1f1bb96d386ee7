"""Sizes of a compressed network in bytes, each under a named codec."""

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
    """Sizes in bytes by codec."""

    file: int
    dense: int
    deflate: int
    entropy: int

    def of(self, codec: Codec) -> int:
        """Return the size under one codec, in bytes."""
        return {"file": self.file, "dense": self.dense, "deflate": self.deflate, "entropy": self.entropy}[codec]


def sizes_by_codec(onnx: bytes, *, tensors: Sequence[QuantizedTensor], n_uncompressed_bytes: int) -> Sizes:
    """Return the sizes of a compressed network.

    Sources: DEFLATE, RFC 1951 (zlib, RFC 1950); entropy bound, C. E. Shannon, "A mathematical theory of
    communication", Bell System Technical Journal 27 (1948).

    Args:
        onnx: bytes of the ONNX file.
        tensors: all quantized tensors.
        n_uncompressed_bytes: bytes of the parameters that are not compressed (biases, norms).
    """
    return Sizes(
        file=len(onnx),
        dense=n_uncompressed_bytes + sum(-(-tensor.codes.size * BITS[tensor.container] // 8) for tensor in tensors),
        deflate=len(zlib.compress(onnx, 6)),
        entropy=n_uncompressed_bytes + int(np.ceil(sum(entropy_bits(tensor.codes) for tensor in tensors) / 8)),
    )


def entropy_bits(codes: Codes) -> float:
    """Return n H of n codes in bits: the lower bound of a memoryless coder (Shannon 1948).

    >>> entropy_bits(np.array([0, 0, 1, 1]))
    4.0
    """
    if not codes.size:
        return 0.0
    # Codes are within int16: counting in at most 65,536 bins is linear, sorting is not.
    counts = np.bincount(codes.ravel().astype(np.int64) - int(codes.min()))
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / codes.size)).sum()) + 0.0


def pack_codes(codes: Codes, container: Container) -> bytes:
    """Return codes in ONNX raw data layout: little-endian; two int4 a byte, the first in the low nibble."""
    if container != "int4":
        return codes.astype("<i1" if container == "int8" else "<i2").tobytes()
    nibbles = (codes.ravel() & 0xF).astype(np.uint8)
    nibbles = np.concatenate([nibbles, np.zeros(nibbles.size % 2, dtype=np.uint8)])
    return (nibbles[::2] | (nibbles[1::2] << 4)).tobytes()
