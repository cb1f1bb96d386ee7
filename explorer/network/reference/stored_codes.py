"""Codes and steps of a compressed file, found by walking back from a product to the integers that the file stores."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.reference.tensors import INT4, Array, Path, Scope, scopes, to_array, users

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_BITS = {INT4: 4, 2: 8, 3: 8, 5: 16}  # of a stored int4, uint8, int8 and int16; uint8 only with packed codes
_DOMAINS = {"", "ai.onnx", "com.microsoft"}
_MAX_STEPS = 12  # from the product back to the integers


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a weight: path of its graph, the node's type and first output, and the index of the input."""

    path: Path
    operator: str
    output: str
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredCodes:
    """A tensor that a file stores as integers and multiplies by a step.

    Args:
        name: name of the stored integers.
        codes: the integers, int64, in the shape of the tensor.
        bits: bits of one stored integer.
        step: number that they are multiplied by.
        zero: number that is subtracted before.
        uses: where the product is used.
        parameters: all stored tensors that give the product: integers, step, zero point, shape, table of packed codes.
    """

    name: str
    codes: Array
    bits: int
    step: float
    zero: int
    uses: tuple[Use, ...]
    parameters: frozenset[tuple[Path, str]]


def read_stored_codes(model: "ModelProto") -> tuple[StoredCodes, ...]:
    """Return every tensor that a model computes as step x (code - zero) from stored integers and one stored step.

    Two forms exist: Mul after a Cast, and DequantizeLinear. Integers with a step for each channel, and those of
    32 bits (biases of int8 operators), are no codes of Eq. (5).
    """
    every = list(scopes(model))
    return tuple(one for scope in every for node in scope.graph.node for one in _stored(every, scope, node))


def codes_at_step(stored: Sequence[StoredCodes], step: float | None) -> tuple[StoredCodes, ...]:
    """Return the tensors with step D and zero point 0: the codes of Eq. (5), without constants of int8 operators."""
    return tuple(one for one in stored if step is not None and one.step == np.float32(step) and not one.zero)


def _stored(every: list[Scope], scope: Scope, node: "NodeProto") -> Iterator[StoredCodes]:
    if node.domain not in _DOMAINS or len(node.input) < 2:
        return
    zero = 0.0
    if node.op_type == "DequantizeLinear":
        sides = [(node.input[0], node.input[1])]
        zero = _scalar(scope, node.input[2]) or 0 if len(node.input) > 2 and node.input[2] else 0
    elif node.op_type == "Mul":
        sides = [(node.input[0], node.input[1]), (node.input[1], node.input[0])]
    else:
        return
    for source, factor in sides:
        step, integers = _scalar(scope, factor), _integers(scope, source, _MAX_STEPS)
        if step is not None and integers is not None and integers[0].dtype.kind == "i":
            uses = tuple(_uses(every, scope, node.output[0]))
            names = {*integers[2], *node.input} & scope.owners.keys()
            parameters = frozenset((scope.owners[name], name) for name in names)
            codes = integers[0].astype(np.int64)
            yield StoredCodes(integers[2][0], codes, integers[1], step, int(zero), uses, parameters)
            return


def _scalar(scope: Scope, name: str) -> float | None:
    tensor = scope.constants.get(name)
    return None if tensor is None or math.prod(tensor.dims) != 1 else float(to_array(tensor).reshape(()))


def _integers(scope: Scope, name: str, steps: int) -> tuple[Array, int, list[str]] | None:
    """Return the integers behind a name, the bits of one, and the names of their constants; None without integers.

    Packed codes are looked up in the table that the file itself has, so that a changed table changes the codes.
    """
    tensor = scope.constants.get(name)
    if tensor is not None:
        return (to_array(tensor), _BITS[tensor.data_type], [name]) if tensor.data_type in _BITS else None
    node = scope.producers.get(name)
    if node is None or not steps or node.domain not in _DOMAINS:
        return None
    is_lookup = node.op_type == "Gather"
    if not is_lookup and node.op_type not in {"Cast", "Reshape", "Slice"}:
        return None
    source = _integers(scope, node.input[int(is_lookup)], steps - 1)
    constants = [to_array(scope.constants[one]) if one in scope.constants else None for one in node.input]
    if source is None:
        return None
    values, bits, names = source
    if is_lookup:
        if constants[0] is None or constants[0].ndim != 2:
            return None
        values, bits = constants[0][values], bits // constants[0].shape[1]
    elif node.op_type == "Reshape" and constants[1] is not None:
        values = values.reshape([int(length) for length in constants[1]])
    elif node.op_type == "Slice":
        attributes = {attribute.name: attribute.ints for attribute in node.attribute}
        first, end = attributes.get("starts", constants[1:2]), attributes.get("ends", constants[2:3])
        values = values[int(np.ravel(first)[0]) : int(np.ravel(end)[0])]
    return values, bits, [*names, *node.input]


def _uses(every: list[Scope], scope: Scope, name: str) -> Iterator[Use]:
    """Yield the uses of a value, through casts to another float type."""
    for inner, node, index in users(every, scope, name):
        if node.op_type == "Cast":
            yield from _uses(every, inner, node.output[0])
        else:
            yield Use(inner.path, node.op_type, node.output[0], index)
