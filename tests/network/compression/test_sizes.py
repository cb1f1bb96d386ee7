"""Sizes by codec: closed forms, bounds, and packing that ONNX can unpack."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from explorer.network.compression.quantization import Codes, Container, QuantizedTensor
from explorer.network.compression.sizes import entropy_bits, pack_codes, sizes_by_codec

codes_of_int4 = arrays(np.int64, st.integers(1, 60), elements=st.integers(-7, 7))
KINDS: dict[Container, int] = {"int4": TensorProto.INT4, "int8": TensorProto.INT8, "int16": TensorProto.INT16}


@given(codes=codes_of_int4)
def test_packed_codes_round_trip_through_onnx(codes: Codes) -> None:
    for container, kind in KINDS.items():
        tensor = helper.make_tensor("t", kind, codes.shape, pack_codes(codes, container), raw=True)
        assert numpy_helper.to_array(tensor).astype(np.int64).tolist() == codes.tolist()


@given(codes=codes_of_int4)
def test_entropy_is_between_zero_and_log2_of_the_alphabet(codes: Codes) -> None:
    assert 0 <= entropy_bits(codes) <= codes.size * math.log2(len(np.unique(codes))) + 1e-9


def test_entropy_of_one_and_of_two_equal_symbols() -> None:
    assert entropy_bits(np.zeros(9, dtype=np.int64)) == 0
    assert entropy_bits(np.array([0, 1] * 8)) == pytest.approx(16)


def test_sizes_match_their_definitions() -> None:
    tensors = [
        QuantizedTensor(np.arange(-3, 4), "int4", 0),
        QuantizedTensor(np.arange(100), "int8", 0),
        QuantizedTensor(np.arange(5), "int16", 0),
    ]
    file = b"onnx" * 500
    sizes = sizes_by_codec(file, tensors=tensors, n_uncompressed_bytes=40)

    assert sizes.file == 2000
    assert sizes.dense == 40 + 4 + 100 + 10  # seven nibbles fill four bytes
    assert sizes.deflate == len(zlib.compress(file, 6)) < 100
    assert sizes.entropy == 40 + math.ceil((7 * math.log2(7) + 100 * math.log2(100) + 5 * math.log2(5)) / 8)
    assert [sizes.of(codec) for codec in ("file", "dense")] == [sizes.file, sizes.dense]
