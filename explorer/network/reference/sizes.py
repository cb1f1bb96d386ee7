"""Sizes of a compressed file by codec, counted from its bytes and stored tensors alone."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.reference.stored_codes import StoredCodes
from explorer.network.reference.tensors import n_bytes_of, scopes

if TYPE_CHECKING:
    from onnx import ModelProto

_LEVEL = 6  # zlib's default, as in a .zip or .gz
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}


def count_sizes(onnx: bytes, model: "ModelProto", stored: Sequence[StoredCodes]) -> dict[str, int]:
    """Return the size of a compressed network in bytes, by codec.

    `file`: the file; `deflate`: the file deflated (RFC 1951); `dense`: codes bit by bit; `entropy`: the entropy of each
    tensor's codes (Shannon 1948), which bounds a coder without context. The last two hold all other parameters as they
    are, but no steps and zero points.

    Args:
        onnx: bytes of the file.
        model: the same, parsed.
        stored: its codes of Eq. (5).
    """
    excluded = {key for one in stored for key in one.parameters}
    n_uncompressed = 0
    for scope in scopes(model):
        excluded |= {
            (scope.owners[name], name)
            for node in scope.graph.node if node.op_type in _QUANTIZERS
            for name in node.input[1:] if name in scope.owners
        }  # fmt: skip
        n_uncompressed += sum(n_bytes_of(t) for t in scope.graph.initializer if (scope.path, t.name) not in excluded)
    return {
        "file": len(onnx),
        "dense": n_uncompressed + sum(-(-one.codes.size * one.bits // 8) for one in stored),
        "deflate": len(zlib.compress(onnx, _LEVEL)),
        "entropy": n_uncompressed + int(np.ceil(sum(_entropy_bits(one) for one in stored) / 8)),
    }


def _entropy_bits(one: StoredCodes) -> float:
    _, counts = np.unique(one.codes, return_counts=True)
    return float((counts * np.log2(one.codes.size / counts)).sum())
