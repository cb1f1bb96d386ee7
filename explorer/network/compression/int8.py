"""Full int8: static quantization of activations from calibration data, with the scale of every weight fixed at D."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import MeasurementFailed, OutOfRange
from explorer.network.compression.code_tensors import store_codes
from explorer.network.compression.compress import Compression, write_recipe_metadata
from explorer.network.compression.quantization import largest_code
from explorer.network.graph.loading import first_line
from explorer.network.graph.model import Network
from explorer.network.graph.session import QUIET
from explorer.network.graph.traversal import subgraphs
from explorer.network.graph.weights import stored_sources

if TYPE_CHECKING:
    from onnx import ModelProto

_DEFAULT_SEVERITY = 2  # of onnxruntime: warnings


def full_int8_onnx(network: Network, compression: Compression, *, calibration: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the network with int8 weights and int8 activations, in QDQ format.

    onnxruntime's static quantizer chooses a scale for every weight. Here D overrides it, and its codes are compared
    with those of Eq. (5). It has no int8 recurrent operators: their weights become int8 codes, they compute in float32.

    Source: onnxruntime documentation, "Quantize ONNX models" (QuantizeLinear/DequantizeLinear pairs, QDQ); B. Jacob et
    al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018.

    Args:
        network: the source network.
        compression: its codes, all within int8.
        calibration: representative inputs, at least one sample each.

    Raises:
        OutOfRange: a code does not fit int8.
        MeasurementFailed: the quantizer failed or changed a code.
    """
    if compression.container == "int16":
        raise OutOfRange(
            "quant_step", compression.recipe.quant_step, allowed="the range of int8 codes",
            fix="take a larger step, or allow clipping to int8",
        )  # fmt: skip
    rounded = _with_dequantized_weights(network, compression)
    with tempfile.TemporaryDirectory(prefix="explorer-") as folder:
        try:
            model = _quantized(rounded, network, compression, calibration=calibration, folder=Path(folder))
        except Exception as error:  # noqa: BLE001 - the quantizer raises exceptions of any class
            raise MeasurementFailed(
                f"onnxruntime cannot quantize the activations: {first_line(error)}", fix="leave out full int8"
            ) from None
    changed = [name for name in compression.tensors if not _has_equal_codes(model, name, compression)]
    if changed:
        raise MeasurementFailed(f"onnxruntime changed the codes of {', '.join(changed)}", fix="leave out full int8")
    store_codes(model, network, compression.tensors, step=compression.recipe.quant_step)
    write_recipe_metadata(model, network, compression)
    return bytes(model.SerializeToString(deterministic=True))


def _with_dequantized_weights(network: Network, compression: Compression) -> "ModelProto":
    """Return the float model with each weight replaced by D times its code."""
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    dtypes = {weight.name: weight.values.dtype for weight in network.weights}
    for graph in subgraphs(model.graph):
        for tensor in graph.initializer:
            if tensor.name in dtypes:
                values = compression.tensors[tensor.name].codes * compression.recipe.quant_step
                tensor.CopyFrom(numpy_helper.from_array(values.astype(dtypes[tensor.name]), tensor.name))
    return model


def _quantized(
    model: "ModelProto",
    network: Network,
    compression: Compression,
    *,
    calibration: Mapping[str, NDArray[Any]],
    folder: Path,
) -> "ModelProto":
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.samples = _batches(calibration, n=_batch_of(network))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.samples, None)

    step = np.array(compression.recipe.quant_step, dtype=np.float32)
    override = {"scale": step, "zero_point": np.array(0, dtype=np.int8), "quant_type": QuantType.QInt8}
    top_level = {tensor.name for tensor in model.graph.initializer}  # the quantizer skips branches and loop bodies
    weights = {weight.name for weight in network.weights if weight.name in top_level}
    # A tied weight is transposed where it is used a second time: there too it has the scale D, so that codes are exact.
    overridden = weights | {name for name, source in stored_sources(model).items() if source in weights}
    logging_level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the quantizer recommends preprocessing, which folding has done
    onnxruntime.set_default_logger_severity(QUIET)  # its sessions warn about nodes that it has just replaced
    try:
        quantize_static(
            model,
            folder / "int8.onnx",
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": {name: [dict(override)] for name in overridden},
                "WeightSymmetric": True,
            },
        )
    finally:
        logging.disable(logging_level)
        onnxruntime.set_default_logger_severity(_DEFAULT_SEVERITY)
    quantized = onnx.ModelProto()
    quantized.ParseFromString((folder / "int8.onnx").read_bytes())
    return quantized


def _batch_of(network: Network) -> int:
    """Return the batch size of a network if it is fixed, else 1."""
    dims = [value.type.tensor_type.shape.dim for value in network.model.graph.input]
    return max((dim[0].dim_value for dim in dims if dim), default=1) or 1


def _batches(calibration: Mapping[str, NDArray[Any]], *, n: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the samples in batches of n; the last sample fills an incomplete batch."""
    n_samples = min(len(values) for values in calibration.values())
    for start in range(0, n_samples, n):
        rows = np.minimum(np.arange(start, start + n), n_samples - 1)
        yield {name: values[rows] for name, values in calibration.items()}


def _has_equal_codes(model: "ModelProto", name: str, compression: Compression) -> bool:
    """Return whether the quantizer stored a weight with our codes, scale D and zero point 0."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for graph in subgraphs(model.graph) for tensor in graph.initializer}
    if f"{name}_quantized" not in stored:
        return name in stored  # still float: its codes are stored after this
    codes, scale, zero = (
        numpy_helper.to_array(stored[f"{name}_{part}"]) for part in ("quantized", "scale", "zero_point")
    )
    ours = np.clip(compression.tensors[name].codes, -largest_code("int8"), largest_code("int8"))
    is_exact = np.array_equal(codes.ravel(), ours.ravel())
    return bool(is_exact and scale == np.float32(compression.recipe.quant_step) and zero == 0)
