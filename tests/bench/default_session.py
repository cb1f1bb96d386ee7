"""Latency of compressed networks in a plain onnxruntime session of one thread, as a ratio to what `measure` times.

Run by hand: python tests/bench/default_session.py. Each line: the ratio of the plain session to the measured one, and
of the compressed network to its source. Exit 1 where a plain session takes more than 1.05 times as long.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from busy_latency import IMAGE, conv_network

from explorer.network.compression.compress import Recipe, compress_weights, compressed_onnx
from explorer.network.graph.model import load_network, shipped_networks
from explorer.network.graph.session import open_inference_session
from explorer.network.measurement.latency import measure_latency

MOST = 1.05


def main() -> int:
    """Print the table; return 1 where a plain session is slower."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "conv.onnx").write_bytes(conv_network(72))
        for name in (*shipped_networks(), str(folder / "conv.onnx")):
            network = load_network(name)
            path = folder / "compressed.onnx"
            path.write_bytes(compressed_onnx(network, compress_weights(network, Recipe(0.4, 0.05))))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            plain = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            source = open_inference_session(network.model.SerializeToString())
            rng = np.random.default_rng(0)
            feeds = {
                entry.name: rng.random([1, *(length or 1 for length in entry.shape[1:])]).astype(entry.dtype)
                for entry in source.inputs
            }
            if network.name == "conv":
                feeds = {"x": rng.random(IMAGE).astype(np.float32)}
            measured = open_inference_session(path.read_bytes()).bind(feeds)
            names = [output.name for output in plain.get_outputs()]
            ratio = measure_latency(partial(plain.run, names, feeds), measured).ratio
            to_source = measure_latency(measured, source.bind(feeds)).ratio
            worst = max(worst, ratio[0])
            print(
                f"{network.name:20s} plain / measured {ratio[0]:.3f} [{ratio[1]:.3f}, {ratio[2]:.3f}]  "
                f"measured / source {to_source[0]:.3f}", flush=True,
            )  # fmt: skip
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
