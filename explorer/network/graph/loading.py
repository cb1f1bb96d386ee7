"""Reading an ONNX file that nobody vouches for: bounded, complete, from its own folder, and checked."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import Fault, InvalidFile, MissingPart, WrongUsage


def require_onnx() -> None:
    """Make sure that onnx and onnxruntime can be imported.

    Raises:
        MissingPart: one of them is not installed.
    """
    for part in ("onnx", "onnxruntime"):
        try:
            __import__(part)
        except ImportError:
            raise MissingPart(part, needed_for="reading, compressing or measuring a network", extra="onnx") from None


if TYPE_CHECKING:
    from onnx import TensorProto

MAX_NETWORK_BYTES = 1_000_000_000  # a protobuf ends at 2 GB, and folding holds a second copy
EXPORT_AGAIN = "export it again from where it was trained"


def external_bytes(tensor: "TensorProto", folder: Path, *, budget: int) -> bytes | Fault:
    """Return the data that a tensor refers to, or what is wrong with that.

    Args:
        tensor: as read; its data lies elsewhere.
        folder: of the ONNX file.
        budget: how many bytes there may be.
    """
    where = f"tensor '{tensor.name[:80]}'"
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    if not _is_inside(location, folder):
        return Fault(where, f"its data is said to be in '{location[:80]}', outside the file's folder", EXPORT_AGAIN)
    source = folder / location
    if not source.is_file():  # reading a pipe would wait for ever
        return Fault(where, f"its external data '{location}' is missing", "put that file beside the ONNX file")
    try:
        offset = int(said.get("offset", "0"))
        wanted = int(said.get("length", source.stat().st_size - offset))
    except ValueError:
        return Fault(where, "offset or length of its external data is not a number", EXPORT_AGAIN)
    if offset < 0 or wanted < 0:
        return Fault(where, f"its external data is said to begin at {offset} and to have {wanted} bytes", EXPORT_AGAIN)
    if wanted > budget:
        return Fault(where, f"asks for {wanted:,} bytes of external data", f"keep all under {MAX_NETWORK_BYTES:,}")
    return _read(source, where, offset=offset, n_bytes=wanted)


def _is_inside(location: str, folder: Path) -> bool:
    """Tell whether a place is inside a folder; links are followed: one that leads out would betray any file."""
    if not location or "\0" in location or Path(location).is_absolute():
        return False
    return (folder / location).resolve().is_relative_to(folder.resolve())


def _read(source: Path, where: str, *, offset: int, n_bytes: int) -> bytes | Fault:
    try:
        with source.open("rb") as file:
            file.seek(offset)
            data = file.read(n_bytes)
    except (OSError, OverflowError) as error:
        return Fault(where, f"its external data '{source.name}' cannot be read: {error}", "see that it may be read")
    if len(data) != n_bytes:
        return Fault(where, f"its external data '{source.name}' ends too early", "copy that file again")
    return data


if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

MAX_TENSOR_ELEMENTS = 500_000_000  # 2 GB of float32, which no protobuf holds
MAX_CONSTANT_ELEMENTS = 1_000_000_000  # all that folding computes, together
_SMALLER = "take a network that fits in memory"


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """An ONNX file that passed every check, with its external data inside; `sha256` is of both."""

    path: Path
    model: "ModelProto"
    sha256: str
    n_bytes: int


def read_network_file(path: Path) -> NetworkFile:
    """Read and check an ONNX file. Nothing in it is executed.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: there is no such file, or it may not be read.
        InvalidFile: it is not ONNX, too large, damaged, or its external data is missing or outside its folder.
    """
    require_onnx()
    data = _read_bounded(path)
    model = _parse(path, data)
    digest = hashlib.sha256(data)
    n_external = _take_in_external_data(model, path, budget=MAX_NETWORK_BYTES - len(data), digest=digest)
    _check(path, model)
    return NetworkFile(path, model, digest.hexdigest(), len(data) + n_external)


def subgraphs(graph: "GraphProto") -> Iterator["GraphProto"]:
    """Yield a graph and every graph inside its nodes (branches and loop bodies)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from subgraphs(inner)


def first_line(error: Exception) -> str:
    """Return what a library complains of, in one line of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _read_bounded(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise WrongUsage(
                f"{path}: {'is not a file' if path.exists() else 'no such file'}",
                fix="give the path of an ONNX file, or the name of a shipped network: `explorer list` tells them",
            )
        size = path.stat().st_size
        if size > MAX_NETWORK_BYTES:
            raise InvalidFile(path, [Fault("", f"has {size:,} bytes", f"keep it under {MAX_NETWORK_BYTES:,} bytes")])
        return path.read_bytes()
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}", fix="check that the path is right and may be read") from None


def _parse(path: Path, data: bytes) -> "ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise InvalidFile(path, [Fault("", "is not an ONNX file", EXPORT_AGAIN)]) from None
    if not model.graph.node:
        raise InvalidFile(path, [Fault("", "is not an ONNX file, or has no operator in it", EXPORT_AGAIN)])
    return model


def _tensors(model: "ModelProto") -> Iterator["TensorProto"]:
    """Yield every tensor that a model stores: initializers, sparse ones, attributes, in all graphs and functions."""
    nodes = [node for function in model.functions for node in function.node]
    graphs = list(subgraphs(model.graph))
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                graphs += subgraphs(attribute.g)
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        nodes += graph.node
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _take_in_external_data(model: "ModelProto", path: Path, *, budget: int, digest: Any) -> int:
    """Replace references to external data by the data; return how many bytes that was."""
    import onnx

    faults, n_bytes = [], 0
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        found = external_bytes(tensor, path.parent, budget=budget - n_bytes)
        if isinstance(found, Fault):
            faults.append(found)
            continue
        n_bytes += len(found)
        digest.update(found)
        tensor.raw_data = found
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    if faults:
        raise InvalidFile(path, faults[:20])
    return n_bytes


def _check(path: Path, model: "ModelProto") -> None:
    """Refuse what onnx's own checker refuses, and tensors that no memory could hold."""
    import onnx
    from onnx import checker, shape_inference

    if _has_garbled_names(model):
        raise InvalidFile(path, [Fault("", "is damaged: it has names that are not UTF-8", EXPORT_AGAIN)])
    stored = [tensor.name for tensor in _tensors(model) if _n_elements(tensor.dims) > MAX_TENSOR_ELEMENTS]
    if stored:
        raise InvalidFile(path, [_too_large(name) for name in stored[:20]])
    try:
        # Inferred first: the checker wants a shape for every output, which exporters may leave open.
        inferred = shape_inference.infer_shapes(model, data_prop=True)
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
        what = f"its constants unfold to {n_constant:,} elements, more than {MAX_CONSTANT_ELEMENTS:,}"
        raise InvalidFile(path, [Fault("", what, _SMALLER)])


def _n_constant_elements(graph: "GraphProto") -> int:
    """Return how many elements the nodes compute that depend on stored tensors alone: folding holds all of them."""
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.value_info}
    constant, count = {"", *(tensor.name for tensor in graph.initializer)}, 0
    for node in graph.node:
        if constant.issuperset(node.input):
            constant.update(node.output)
            count += sum(_n_elements(shapes[name]) for name in node.output if name in shapes)
    return count


def _has_garbled_names(model: "ModelProto") -> bool:
    """Tell whether a name is no text: protobuf then gives bytes, on which everything later would stumble."""
    for graph in subgraphs(model.graph):
        names = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
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
