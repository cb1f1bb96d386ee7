"""A loaded and checked network with folded constants and a list of its weight tensors."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import Fault, InvalidFile, UnknownName
from explorer.network.graph.loading import read_network_file
from explorer.network.graph.parameters import INTEGER, Parameters, parameters_by_operator, stored_bits
from explorer.network.graph.rewriting.folding import fold_constants
from explorer.network.graph.traversal import subgraphs
from explorer.network.graph.weights import Weight, find_weights

if TYPE_CHECKING:
    from onnx import ModelProto

ZOO = Path(__file__).parent.parent / "zoo"


@dataclass(frozen=True, slots=True)
class Network:
    """A network to compress.

    Args:
        name: file name without suffix.
        path: path of the file.
        model: the model with folded constants; must not be modified.
        weights: the tensors that are pruned and quantized; none in a network whose weights are integers already.
        sha256: SHA-256 of the file as read and of its external data.
        n_bytes: size of the file and its external data, in bytes.
        coverage: stored parameters by operator: those that compression reaches, and the others with the reason.
        notes: changes on loading, in sentences for the user.
    """

    name: str
    path: Path
    model: "ModelProto"
    weights: tuple[Weight, ...]
    sha256: str
    n_bytes: int
    coverage: tuple[Parameters, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_weights(self) -> int:
        """Number of weights that are pruned and quantized."""
        return sum(weight.values.size for weight in self.weights)

    @property
    def n_parameters(self) -> int:
        """Number of stored parameters: weights, those of integer type included, and biases, scales and means."""
        return sum(group.n for group in self.coverage)

    @property
    def n_other_weights(self) -> int:
        """Number of weights that compression does not reach."""
        return sum(group.n for group in self._unreached())

    @property
    def n_other_zeros(self) -> int:
        """Number of weights that are zero among those that compression does not reach."""
        return sum(group.n_zeros for group in self._unreached())

    def _unreached(self) -> list[Parameters]:
        return [group for group in self.coverage if group.is_weights and group.reason]

    @property
    def is_quantized(self) -> bool:
        """True if weights are stored as integers already."""
        return any(group.reason == INTEGER for group in self.coverage)

    @property
    def stored_bits(self) -> dict[str, int]:
        """Bits of an element of each stored weight that is not a 32-bit number, by its name."""
        return stored_bits(self.model)

    @property
    def n_uncompressed_bytes(self) -> int:
        """Bytes of the parameters that are not compressed."""
        names = {weight.name for weight in self.weights}
        return sum(_n_bytes(tensor) for g in subgraphs(self.model.graph) for tensor in g.initializer
                   if tensor.name not in names)  # fmt: skip


def shipped_networks() -> tuple[str, ...]:
    """Return the names of the shipped networks."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.onnx")))


def load_network(name: str | Path) -> Network:
    """Load a network by path, or by the name of a shipped one ('digits-cnn').

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: the file or the shipped network does not exist.
        InvalidFile: the file cannot be used: damaged, unsafe or not runnable.
    """
    text = str(name)
    if text in shipped_networks():
        path = ZOO / f"{text}.onnx"
    elif isinstance(name, Path) or "/" in text or text.endswith(".onnx"):
        path = Path(name)
    else:
        raise UnknownName("network", text, [*shipped_networks(), "a path ending in .onnx"])
    file = read_network_file(path)
    model, notes = fold_constants(file.model, path=path)
    weights = tuple(weight for weight in find_weights(model) if weight.values.size)
    _check_weights(path, weights)
    coverage = parameters_by_operator(model, weights={weight.name for weight in weights})
    return Network(path.stem, path, model, weights, file.sha256, file.n_bytes, coverage, notes)


def opset_of(model: "ModelProto") -> int:
    """Return the version of the standard operators that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1)


def _check_weights(path: Path, weights: tuple[Weight, ...]) -> None:
    faults = [
        Fault(f"tensor '{weight.name}'", "has weights that are NaN or infinite", "train it again")
        for weight in weights
        if not np.isfinite(weight.values).all()
    ]
    if faults:
        raise InvalidFile(path, faults[:20])


def _n_bytes(tensor: Any) -> int:
    from onnx import numpy_helper

    return int(numpy_helper.to_array(tensor).nbytes)
