"""Codes that Eqs. (4) and (5) give for the weights of a source network, in plain numpy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.reference.stored_codes import StoredCodes, Use
from explorer.network.reference.tensors import Array, Path, Scope, scopes, to_array

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

Key = tuple[Path, str]
"""Path of the graph that stores a tensor, and the tensor's name."""
_RENAMED = "_QuantizeLinear_Input"  # onnxruntime's quantizer, where an output of the network is quantized
_MAX_MERGED = 4  # operators that it merges into the one before: Relu and Clip


@dataclass(frozen=True, slots=True)
class CodeRule:
    """How the weights of a network become codes.

    Args:
        ratio: the share R of weights that become zero, in [0, 1).
        step: the step D.
        per_tensor: the share R of each tensor, not of all together.
        largest: largest magnitude of a code where larger ones are clipped; None clips nothing.
    """

    ratio: float
    step: float
    per_tensor: bool
    largest: int | None


def expected_codes(weights: Mapping[Key, Array], rule: CodeRule) -> dict[Key, Array]:
    """Return the codes of weights, in the order of the mapping: prune by Eq. (4), then round by Eq. (5).

    Eq. (4): the round(R n) weights of least magnitude become zero; of equal magnitudes the one that is stored first.
    Eq. (5): code = round(w / D) in float64, halves to the even number. The paper states neither rule for ties.
    """
    values = [np.asarray(array, np.float64).ravel() for array in weights.values()]
    groups = [[i] for i in range(len(values))] if rule.per_tensor else [list(range(len(values)))]
    for group in groups if rule.ratio else []:
        flat = np.concatenate([values[i] for i in group])
        order = np.argsort(np.abs(flat), kind="stable")
        flat[order[: round(rule.ratio * flat.size)]] = 0
        ends = np.cumsum([values[i].size for i in group])
        for i, part in zip(group, np.split(flat, ends[:-1]), strict=True):
            values[i] = part
    limit = np.inf if rule.largest is None else rule.largest
    return {
        key: np.clip(np.round(flat / rule.step), -limit, limit).astype(np.int64).reshape(array.shape)
        for (key, array), flat in zip(weights.items(), values, strict=True)
    }


def source_weights(source: "ModelProto", stored: Sequence[StoredCodes]) -> tuple[dict[Key, Array], dict[str, Key]]:
    """Return the source's tensors that a compressed file stores as codes, in storage order, and which each one is.

    A stored tensor is recognized by what uses it, not by its name: the node of the source that has the same output
    takes the float tensor at the same place. Stored tensors without such a node, or of another shape, are left out.

    Args:
        source: the float network.
        stored: tensors of the compressed file.

    Returns:
        the tensors by key, and the key of each of `stored` by its name.
    """
    by_path = {scope.path: scope for scope in scopes(source)}
    keys = {one.name: key for one in stored if (key := _key(by_path, one)) is not None}
    tensors = {key: tensor for scope in by_path.values() for key, tensor in _own(scope) if key in keys.values()}
    return {key: to_array(tensor) for key, tensor in tensors.items()}, keys


def _own(scope: Scope) -> Iterator[tuple[Key, "TensorProto"]]:
    yield from (((scope.path, tensor.name), tensor) for tensor in scope.graph.initializer)


def _key(by_path: Mapping[Path, Scope], one: StoredCodes) -> Key | None:
    """Return the key of the float tensor that all uses of stored codes share; None if they share none."""
    keys = {_used_tensor(by_path, use, one) for use in one.uses}
    return keys.pop() if len(keys) == 1 else None


def _used_tensor(by_path: Mapping[Path, Scope], use: Use, one: StoredCodes) -> Key | None:
    scope = by_path.get(use.path)
    node = scope.producers.get(use.output.removesuffix(_RENAMED)) if scope else None
    for _ in range(_MAX_MERGED):
        if scope is None or node is None or node.op_type == use.operator:
            break
        node = scope.producers.get(node.input[0]) if node.input else None
    if scope is None or node is None or use.index >= len(node.input):
        return None
    name = node.input[use.index]
    tensor = scope.constants.get(name)
    if tensor is None or tuple(tensor.dims) != one.codes.shape:
        return None
    return scope.owners[name], name
