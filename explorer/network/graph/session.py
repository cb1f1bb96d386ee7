"""onnxruntime sessions: how they are opened, stopped in time, and what is said when a run fails."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import MeasurementFailed, WrongUsage
from explorer.network.graph.loading import first_line

if TYPE_CHECKING:
    from onnx import ModelProto

Array = NDArray[Any]
LONGER = "raise --time-limit, or time_limit in a study"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
QUIET = 4  # fatal only: onnxruntime writes its complaints to stderr besides raising them
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a network: `shape` has None where any length goes."""

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded network; `run` maps arrays by input name to arrays by output name."""

    inner: Any
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]

    def bound(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a run on fixed feeds with nothing around it, to be timed."""
        names, values, inner = list(self.outputs), dict(feeds), self.inner
        return lambda: inner.run(names, values)

    def run(self, feeds: Mapping[str, Array], *, seconds: float | None = None) -> dict[str, Array]:
        """Run once; after `seconds` the run is told to stop.

        Raises:
            MeasurementFailed: the run failed or was stopped.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = QUIET
        timer = threading.Timer(seconds, lambda: setattr(options, "terminate", True)) if seconds is not None else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            values = self.inner.run(list(self.outputs), dict(feeds), options)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base of their own
            if options.terminate:
                raise MeasurementFailed("the time limit was over during a run", fix=LONGER) from None
            if "Failed to allocate memory" in str(error):
                raise MeasurementFailed(
                    "a run of the network needs more memory than there is",
                    fix="take a smaller network, or smaller inputs",
                ) from None
            raise MeasurementFailed(
                f"onnxruntime cannot run the network: {first_line(error)}", fix="check that the data fits its inputs"
            ) from None
        finally:
            if timer:
                timer.cancel()
        return dict(zip(self.outputs, values, strict=True))


def open_inference_session(
    model: bytes, *, threads: int = 1, device: str = "cpu", optimize: bool = True, fold_weights: bool = True
) -> Session:
    """Load a model for running.

    Args:
        model: an ONNX file's bytes.
        threads: how many compute.
        device: 'cpu' or 'cuda'.
        optimize: as onnxruntime would; False keeps every operator as it stands in the file.
        fold_weights: dequantize weights once, at load. Must be off for int8 activations, which need the codes.

    Raises:
        MeasurementFailed: onnxruntime cannot load it.
        WrongUsage: the device is not one that this onnxruntime knows.
    """
    import onnxruntime

    known = {name for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()}
    if device not in known:
        raise WrongUsage(f"this onnxruntime cannot run on '{device}'", fix=f"choose one of: {', '.join(sorted(known))}")
    options = _options(threads=threads)
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if fold_weights:
        # Without this, weights are dequantized again in every run, which costs 1.3 to 1.8 times the latency.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        # Without fallback: onnxruntime would print to stdout, and a GPU's number might be a processor's.
        inner = onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[device]], enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base of their own
        raise MeasurementFailed(
            f"onnxruntime cannot load the network: {first_line(error)}", fix="use operators that it supports"
        ) from None
    if inner.get_providers()[0] != PROVIDERS[device]:
        raise MeasurementFailed(
            f"onnxruntime did not start on '{device}'", fix="mend the driver, or leave out --device"
        )
    inputs = tuple(
        Input(value.name, np.dtype(_DTYPES.get(value.type, np.object_)), _shape(value.shape))
        for value in inner.get_inputs()
    )
    return Session(inner, inputs, tuple(value.name for value in inner.get_outputs()))


def offline_optimized(model: bytes, path: Path) -> "ModelProto":
    """Return a model after onnxruntime's basic optimizations, written to `path` on the way."""
    import onnx
    import onnxruntime

    options = _options(threads=1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model, options, providers=[PROVIDERS["cpu"]], enable_fallback=0)
    optimized = onnx.ModelProto()
    optimized.ParseFromString(path.read_bytes())
    return optimized


def _options(*, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return options


def _shape(dims: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in dims)
