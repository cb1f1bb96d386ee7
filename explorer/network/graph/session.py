"""onnxruntime inference sessions: creation, runs with a time limit, and error messages."""

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
# Options of every measured session that can change its latency, with their reason; all others are the default.
SESSION_OPTIONS: Mapping[str, tuple[int, str]] = {
    "intra_op_num_threads": (1, "latency was measured on one thread; more threads may be faster on an idle machine"),
}
QUIET = 4  # severity "fatal": onnxruntime also writes to stderr every error that it raises
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
    """An input of a network; `shape` has None where the length is free."""

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded network that maps arrays by input name to arrays by output name."""

    inner: Any
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a callable that runs the network on fixed feeds without overhead, to be timed."""
        names, values, inner = list(self.outputs), dict(feeds), self.inner
        return lambda: inner.run(names, values)

    def run(self, feeds: Mapping[str, Array], *, seconds: float | None = None) -> dict[str, Array]:
        """Run the network once; terminate the run after `seconds` (None: no limit).

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
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base class
            if options.terminate:
                raise MeasurementFailed("the time limit was exceeded during a run", fix=LONGER) from None
            if "Failed to allocate memory" in str(error):
                raise MeasurementFailed(
                    "a run of the network needs more memory than is available",
                    fix="use a smaller network or smaller inputs",
                ) from None
            raise MeasurementFailed(
                f"onnxruntime cannot run the network: {first_line(error)}", fix="check that the data fits its inputs"
            ) from None
        finally:
            if timer:
                timer.cancel()
        return dict(zip(self.outputs, values, strict=True))


def open_inference_session(model: bytes, *, threads: int = 1, device: str = "cpu", optimize: bool = True) -> Session:
    """Load a model into onnxruntime's default inference session: as its users run it, but for the threads.

    Args:
        model: bytes of an ONNX file.
        threads: number of intra-operator threads.
        device: 'cpu' or 'cuda'.
        optimize: apply onnxruntime's graph optimizations; False keeps every operator of the file.

    Raises:
        MeasurementFailed: onnxruntime cannot load the model.
        WrongUsage: this onnxruntime does not support the device.
    """
    import onnxruntime

    supported = {name for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()}
    if device not in supported:
        raise WrongUsage(
            f"this onnxruntime cannot run on '{device}'", fix=f"choose one of: {', '.join(sorted(supported))}"
        )
    options = _options(threads=threads)
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        # No fallback: onnxruntime would print to stdout and measure the CPU in place of the GPU.
        inner = onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[device]], enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base class
        raise MeasurementFailed(
            f"onnxruntime cannot load the network: {first_line(error)}", fix="use operators that it supports"
        ) from None
    if inner.get_providers()[0] != PROVIDERS[device]:
        raise MeasurementFailed(
            f"onnxruntime did not start on '{device}'", fix="repair the driver, or leave out --device"
        )
    inputs = tuple(
        Input(value.name, np.dtype(_DTYPES.get(value.type, np.object_)), _shape(value.shape))
        for value in inner.get_inputs()
    )
    return Session(inner, inputs, tuple(value.name for value in inner.get_outputs()))


def offline_optimized(model: bytes, path: Path) -> "ModelProto":
    """Return a model after onnxruntime's basic graph optimizations; `path` is its temporary file."""
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
