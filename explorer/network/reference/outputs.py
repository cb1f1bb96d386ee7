"""Reference outputs of a bundle: those of the source network with D times the recomputed codes as weights."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.graph.session import Input
from explorer.network.reference.expected_codes import Key
from explorer.network.reference.tensors import FLOATS, Array, scopes

if TYPE_CHECKING:
    from onnx import ModelProto

Run = Mapping[str, Array]
N_RUNS = 8
MAX_BYTES = 1_000_000  # of all arrays; one run is stored up to MAX_RUN_BYTES
MAX_RUN_BYTES = 8_000_000
# Relative to an output's largest value. Kernels of other processors sum in another order: 1e-6 to 1e-5 in float32.
TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-2
INT8_TOLERANCE = 0.05  # int8 kernels without VNNI saturate sums of 16 bits (onnxruntime, "Quantize ONNX models")
_FLOAT16 = 10


@dataclass(frozen=True, slots=True)
class Deviation:
    """Largest deviation of outputs from reference outputs, and the output that has it.

    Of a floating-point output it is relative to its largest reference value; of others it is the share of values that
    differ. Infinite where an output is missing, has another shape, or is NaN at another place.
    """

    value: float
    output: str


def reference_model(source: "ModelProto", codes: Mapping[Key, Array], *, step: float) -> bytes:
    """Return the source network with step x code as weights, in float32 as the compressed file computes them.

    Args:
        source: the float network.
        codes: codes by tensor.
        step: the step D.
    """
    model = type(source)()
    model.CopyFrom(source)
    for scope in scopes(model):
        for tensor in scope.graph.initializer:
            if (scope.path, tensor.name) in codes:
                weights = codes[scope.path, tensor.name].astype(np.float32) * np.float32(step)
                for field in ("float_data", "double_data", "int32_data"):
                    tensor.ClearField(field)
                tensor.raw_data = weights.astype(FLOATS[tensor.data_type]).tobytes()
    return bytes(model.SerializeToString(deterministic=True))


def is_half(source: "ModelProto", codes: Mapping[Key, Array]) -> bool:
    """Return True if a weight of the source is float16, so that its kernels round to eleven bits."""
    return any(
        tensor.data_type == _FLOAT16 and (scope.path, tensor.name) in codes
        for scope in scopes(source) for tensor in scope.graph.initializer
    )  # fmt: skip


def random_runs(inputs: Sequence[Input]) -> list[dict[str, Array]]:
    """Return feeds of 8 runs of seeded random numbers; none where an input has no numbers or an unknown length.

    Floating-point inputs are standard normal; integers are 0 or 1, which every table of embeddings has.
    """
    if any(entry.dtype == np.object_ or None in entry.shape[1:] for entry in inputs):
        return []
    random = np.random.default_rng(0)
    runs = []
    for _ in range(N_RUNS):
        run = {}
        for entry in inputs:
            shape = [1 if length is None else length for length in entry.shape]
            is_float = entry.dtype.kind == "f"
            run[entry.name] = (random.normal(size=shape) if is_float else random.integers(0, 2, shape)).astype(
                entry.dtype
            )
        runs.append(run)
    return runs


def pack_runs(feeds: Sequence[Run], outputs: Sequence[Run]) -> tuple[bytes, int]:
    """Return runs as an npz, arrays `RUN/inputs/NAME` and `RUN/outputs/NAME`, and how many of them are stored.

    The first runs are stored up to 1 MB; nothing is stored (no bytes, 0) where the first alone has more than 8 MB.
    """
    arrays: dict[str, Array] = {}
    n_bytes = 0
    for i, (fed, computed) in enumerate(zip(feeds, outputs, strict=True)):
        run = {f"{i}/inputs/{name}": values for name, values in fed.items()}
        run |= {f"{i}/outputs/{name}": values for name, values in computed.items()}
        n_bytes += sum(values.nbytes for values in run.values())
        if n_bytes > (MAX_BYTES if i else MAX_RUN_BYTES):
            break
        arrays |= run
    if not arrays:
        return b"", 0
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # the stub takes names for its own arguments
    return buffer.getvalue(), 1 + max(int(name.split("/")[0]) for name in arrays)


def unpack_runs(arrays: Mapping[str, Array]) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Return feeds and outputs of the runs of an npz that `pack_runs` wrote."""
    feeds: dict[str, dict[str, Array]] = {}
    outputs: dict[str, dict[str, Array]] = {}
    for name, values in arrays.items():
        run, kind, key = (*name.split("/", 2), "", "")[:3]
        {"inputs": feeds, "outputs": outputs}.get(kind, {}).setdefault(run, {})[key] = values
    runs = sorted({*feeds, *outputs})
    return [feeds.get(run, {}) for run in runs], [outputs.get(run, {}) for run in runs]


def compare_outputs(reference: Sequence[Run], outputs: Sequence[Run]) -> Deviation:
    """Return the largest deviation of the outputs of runs from reference outputs."""
    names = list(dict.fromkeys(name for run in reference for name in run))
    deviations = [Deviation(_deviation(name, reference, outputs), name) for name in names]
    return max(deviations, key=lambda one: one.value, default=Deviation(math.inf, ""))


def _deviation(name: str, reference: Sequence[Run], outputs: Sequence[Run]) -> float:
    pairs = [
        (expected_run[name], run.get(name))
        for expected_run, run in zip(reference, outputs, strict=True)
        if name in expected_run
    ]
    worst = scale = 0.0
    n_different = n_values = 0
    for expected, actual in pairs:
        if actual is None or actual.shape != expected.shape or actual.dtype.kind != expected.dtype.kind:
            return math.inf
        if expected.dtype.kind != "f":
            n_different, n_values = n_different + int((actual != expected).sum()), n_values + expected.size
            continue
        a, b = expected.astype(np.float64), actual.astype(np.float64)
        is_number = np.isfinite(a)
        if not np.array_equal(a[~is_number], b[~is_number], equal_nan=True) or not np.isfinite(b[is_number]).all():
            return math.inf
        worst = max(worst, float(np.abs(a - b)[is_number].max(initial=0)))
        scale = max(scale, float(np.abs(a)[is_number].max(initial=0)))
    if n_values:
        return n_different / n_values
    return worst / scale if scale else math.inf if worst else 0.0
