"""Runs in the session that a user gets: `onnxruntime.InferenceSession(path)` on the CPU, with no option."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from explorer.errors import MeasurementFailed
from explorer.network.graph.loading import first_line
from explorer.network.graph.session import PROVIDERS, QUIET, Array

_DEFAULT_SEVERITY = 2  # of onnxruntime: warnings


def run_default_session(model: bytes | Path, runs: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """Return the numeric outputs by name of each run of a network in onnxruntime's default session.

    Args:
        model: an ONNX file, or its bytes.
        runs: feeds by input name.

    Raises:
        MeasurementFailed: onnxruntime cannot load or run the network.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(QUIET)  # of the process: the session itself has no option
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), providers=[PROVIDERS["cpu"]]
        )
        names = [value.name for value in session.get_outputs()]
        outputs = [dict(zip(names, session.run(names, dict(feeds)), strict=True)) for feeds in runs]
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base class
        raise MeasurementFailed(
            f"onnxruntime cannot run the network: {first_line(error)}", fix="deploy it again"
        ) from None
    finally:
        onnxruntime.set_default_logger_severity(_DEFAULT_SEVERITY)
    return [
        {name: v for name, v in run.items() if isinstance(v, np.ndarray) and v.dtype.kind in "biuf"} for run in outputs
    ]
