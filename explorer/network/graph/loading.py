"""Load an untrusted ONNX file: size-bounded, complete, external data confined to its folder, checked."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import Fault, InvalidFile, MissingPart, WrongUsage
from explorer.network.graph.traversal import stored_tensors, subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

MAX_NETWORK_BYTES = 1_000_000_000  # a protobuf ends at 2 GB, and folding holds a second copy
MAX_TENSOR_ELEMENTS = 500_000_000  # 2 GB of float32, which no protobuf holds
MAX_CONSTANT_ELEMENTS = 1_000_000_000  # sum over all constants that folding computes
_MAX_LENGTHS = 64  # elements of a tensor of lengths, more than a tensor has dimensions
EXPORT_AGAIN = "export it again from the framework that trained it"
_SMALLER = "take a network that fits in memory"


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """An ONNX file that passed every check, with its external data inside; `sha256` covers both."""

    path: Path
    model: "ModelProto"
    sha256: str
    n_bytes: int


def require_onnx() -> None:
    """Ensure that onnx and onnxruntime can be imported.

    Raises:
        MissingPart: one of them is not installed.
    """
    for part in ("onnx", "onnxruntime"):
        try:
            __import__(part)
        except ImportError:
            raise MissingPart(part, needed_for="reading, compressing or measuring a network", extra="onnx") from None


def _external_data(tensor: "TensorProto", path: Path, *, budget: int) -> bytes | Fault:
    """Return the external data of a tensor, or the fault of its reference.

    Args:
        tensor: as read, with a reference to external data.
        path: path of the ONNX file.
        budget: the largest number of bytes to read.
    """
    location_text = f"tensor '{tensor.name[:80]}'"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file_name = entries.get("location", "")
    if not _is_allowed(file_name, path):
        return Fault(
            location_text, f"its external data '{file_name[:80]}' is outside the folder of the file", EXPORT_AGAIN
        )
    source = path.parent / file_name
    if not source.is_file():  # reading a named pipe would block for ever
        return Fault(location_text, f"its external data '{file_name}' is missing", "put it into the ONNX file's folder")
    try:
        offset = int(entries.get("offset", "0"))
        n_bytes = int(entries.get("length", source.stat().st_size - offset))
    except ValueError:
        return Fault(location_text, "offset or length of its external data is not a number", EXPORT_AGAIN)
    if offset < 0 or n_bytes < 0:
        fault = f"its external data has offset {offset} and length {n_bytes}: both must be at least 0"
        return Fault(location_text, fault, EXPORT_AGAIN)
    if n_bytes > budget:
        fault = f"refers to {n_bytes:,} bytes of external data"
        return Fault(location_text, fault, f"keep the network under {MAX_NETWORK_BYTES:,} bytes")
    return _read_range(source, location_text, offset=offset, n_bytes=n_bytes)


def _is_allowed(location: str, path: Path) -> bool:
    """Return whether external data may be read: a link that leads anywhere else could disclose any file.

    The name must be in the folder of the ONNX file, and the real file in that folder or in that of the real ONNX file:
    in a cache of the Hugging Face hub both names are links into one folder of blobs.
    """
    if not location or "\0" in location or Path(location).is_absolute():
        return False
    if os.path.normpath(location).startswith(".."):
        return False
    real = (path.parent / location).resolve()
    return real.is_relative_to(path.parent.resolve()) or real.parent == path.resolve().parent


def _read_range(source: Path, location_text: str, *, offset: int, n_bytes: int) -> bytes | Fault:
    try:
        with source.open("rb") as file:
            file.seek(offset)
            data = file.read(n_bytes)
    except (OSError, OverflowError) as error:
        fault = f"its external data '{source.name}' cannot be read: {error}"
        return Fault(location_text, fault, "check its permissions")
    if len(data) != n_bytes:
        return Fault(location_text, f"its external data '{source.name}' ends too early", "copy that file again")
    return data


def read_network_file(path: Path) -> NetworkFile:
    """Read and check an ONNX file. Nothing in it is executed.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: it is not ONNX, too large, damaged, or its external data is missing or outside its folder.
    """
    require_onnx()
    data = _read_bounded(path)
    model = _parse(path, data)
    digest = hashlib.sha256(data)
    n_external = _embed_external_data(model, path, budget=MAX_NETWORK_BYTES - len(data), digest=digest)
    _check(path, model)
    return NetworkFile(path, model, digest.hexdigest(), len(data) + n_external)


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, cut to 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _read_bounded(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise WrongUsage(
                f"{path}: {'is not a file' if path.exists() else 'no such file'}",
                fix="give the path of an ONNX file, or a shipped network's name (`explorer list`)",
            )
        size = path.stat().st_size
        if size > MAX_NETWORK_BYTES:
            raise InvalidFile(path, [Fault("", f"has {size:,} bytes", f"keep it under {MAX_NETWORK_BYTES:,} bytes")])
        return path.read_bytes()
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}", fix="check the path and its permissions") from None


def _parse(path: Path, data: bytes) -> "ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise InvalidFile(path, [Fault("", "is not an ONNX file", EXPORT_AGAIN)]) from None
    if not model.graph.node:
        raise InvalidFile(path, [Fault("", "is not an ONNX file, or has no operators", EXPORT_AGAIN)])
    if not model.graph.output:
        raise InvalidFile(path, [Fault("", "has no outputs", EXPORT_AGAIN)])
    return model


def _embed_external_data(model: "ModelProto", path: Path, *, budget: int, digest: Any) -> int:
    """Replace references to external data by the data; return its number of bytes."""
    import onnx

    faults, n_bytes = [], 0
    for tensor in stored_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        data = _external_data(tensor, path, budget=budget - n_bytes)
        if isinstance(data, Fault):
            faults.append(data)
            continue
        n_bytes += len(data)
        digest.update(data)
        tensor.raw_data = data
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    if faults:
        raise InvalidFile(path, faults[:20])
    return n_bytes


def _check(path: Path, model: "ModelProto") -> None:
    """Raise for a model that onnx's checker rejects, and for tensors too large for memory."""
    import onnx
    from onnx import checker, shape_inference

    if _has_garbled_names(model):
        raise InvalidFile(path, [Fault("", "is damaged: it has names that are not UTF-8", EXPORT_AGAIN)])
    stored = [tensor.name for tensor in stored_tensors(model) if _n_elements(tensor.dims) > MAX_TENSOR_ELEMENTS]
    if stored:
        raise InvalidFile(path, [_too_large(name) for name in stored[:20]])
    try:
        # Infer shapes first: the checker requires a shape for every output, and exporters may omit it.
        inferred = shape_inference.infer_shapes(_with_lengths_in_branches(model), data_prop=True)
        for output in inferred.graph.output:  # onnx infers none behind operators of other domains
            if output.type.HasField("tensor_type"):
                output.type.tensor_type.shape.SetInParent()
        checker.check_model(inferred)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise InvalidFile(path, [Fault("", f"is damaged: {first_line(error)}", EXPORT_AGAIN)]) from None
    except (ValueError, RuntimeError, onnx.parser.ParseError) as error:
        raise InvalidFile(path, [Fault("", f"cannot be checked: {first_line(error)}", EXPORT_AGAIN)]) from None
    large = [
        value.name
        for graph in subgraphs(inferred.graph)
        for value in (*graph.value_info, *graph.output)
        if _n_elements([dim.dim_value for dim in value.type.tensor_type.shape.dim if dim.dim_value])
        > MAX_TENSOR_ELEMENTS
    ]
    if large:
        raise InvalidFile(path, [_too_large(name) for name in large[:20]])
    n_constant = _n_constant_elements(inferred.graph)
    if n_constant > MAX_CONSTANT_ELEMENTS:
        what = f"its constants expand to {n_constant:,} elements, more than {MAX_CONSTANT_ELEMENTS:,}"
        raise InvalidFile(path, [Fault("", what, _SMALLER)])


def _with_lengths_in_branches(model: "ModelProto") -> "ModelProto":
    """Return a model whose branches store the small integer tensors of the main graph that they use.

    Inference reads lengths from stored tensors of the same graph only: a branch could expand a constant without bound.
    """
    import onnx

    if len(list(subgraphs(model.graph))) == 1:
        return model
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    main, *inner = subgraphs(copied.graph)
    lengths = {
        tensor.name: tensor
        for tensor in main.initializer
        if tensor.data_type == onnx.TensorProto.INT64 and _n_elements(tensor.dims) <= _MAX_LENGTHS
    }
    for graph in inner:
        used = {name for node in graph.node for name in node.input} - {tensor.name for tensor in graph.initializer}
        graph.initializer.extend(lengths[name] for name in sorted(used & lengths.keys()))
    return copied


def _n_constant_elements(graph: "GraphProto") -> int:
    """Return the number of elements computed from stored tensors alone: constant folding holds all of them."""
    constant, count = {""}, 0
    for inner in subgraphs(graph):  # an outer graph before its branches, which see its tensors
        shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inner.value_info}
        constant.update(tensor.name for tensor in inner.initializer)
        for node in inner.node:
            if constant.issuperset(node.input):
                constant.update(node.output)
                count += sum(_n_elements(shapes[name]) for name in node.output if name in shapes)
    return count


def _has_garbled_names(model: "ModelProto") -> bool:
    """Return whether a name is not UTF-8: protobuf then returns bytes, which later code cannot handle."""
    for graph in subgraphs(model.graph):
        names = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
        for value in (*graph.input, *graph.output, *graph.value_info):
            names += [dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for node in graph.node:
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        if any(not isinstance(name, str) for name in names):
            return True
    return False


def _n_elements(dims: Sequence[int]) -> int:
    count = 1
    for dim in dims:
        count *= max(int(dim), 0)
    return count


def _too_large(name: str) -> Fault:
    return Fault(f"tensor '{name[:80]}'", f"has more than {MAX_TENSOR_ELEMENTS:,} elements", _SMALLER)
