"""Latency ratios of networks of about 3 ms with eight busy loops beside, against those of a quiet machine.

Run by hand: python tests/bench/busy_latency.py [REPEATS]. Each line is one pair of networks: its ratio without load,
then for each repeat under load the ratio, its deviation and whether the measurement said busy or refused. Exit 1 where
a ratio that was not refused is more than 10 % away.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from explorer.network.graph.session import open_inference_session
from explorer.network.measurement.latency import Timing, measure_latency

N_LOOPS, TOLERANCE = 8, 0.1


def conv_network(channels: int, *, side: int = 32, depth: int = 4) -> bytes:
    """Return a network of 3 x 3 convolutions on one image of side x side pixels."""
    rng, nodes, stored, tensor, n_in = np.random.default_rng(0), [], [], "x", 3
    for i in range(depth):
        weights = (rng.normal(size=(channels, n_in, 3, 3)) * 0.1).astype(np.float32)
        stored.append(numpy_helper.from_array(weights, f"w{i}"))
        nodes += [helper.make_node("Conv", [tensor, f"w{i}"], [f"c{i}"], pads=[1] * 4),
                  helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]  # fmt: skip
        tensor, n_in = f"r{i}", channels
    nodes += [helper.make_node("GlobalAveragePool", [tensor], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    return _serialize(nodes, stored, shape=["n", 3, side, side], n_outputs=channels)


def dense_network(width: int, *, depth: int = 3, n_in: int = 256) -> bytes:
    """Return a network of dense layers: its time is that of reading its weights."""
    rng, nodes, stored, tensor, n = np.random.default_rng(0), [], [], "x", n_in
    for i in range(depth):
        name = "y" if i == depth - 1 else f"r{i}"
        weights = (rng.normal(size=(n, width)) * 0.05).astype(np.float32)
        stored.append(numpy_helper.from_array(weights, f"w{i}"))
        nodes += [helper.make_node("MatMul", [tensor, f"w{i}"], [f"c{i}"]),
                  helper.make_node("Relu", [f"c{i}"], [name])]  # fmt: skip
        tensor, n = name, width
    return _serialize(nodes, stored, shape=["n", n_in], n_outputs=width)


def _serialize(
    nodes: list[onnx.NodeProto], stored: list[onnx.TensorProto], *, shape: list[object], n_outputs: int
) -> bytes:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", n_outputs])]
    graph = helper.make_graph(nodes, "bench", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def bound(model: bytes, shape: tuple[int, ...]) -> Callable[[], object]:
    """Return a run of a network on random inputs."""
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return open_inference_session(model).bind({"x": x})


@contextmanager
def busy_loops(n: int) -> Iterator[None]:
    """Keep n processes computing."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


IMAGE, VECTOR = (1, 3, 32, 32), (1, 256)
PAIRS = {
    "conv 72 / conv 72": (conv_network(72), conv_network(72), IMAGE),
    "conv 36 / conv 72": (conv_network(36), conv_network(72), IMAGE),
    "conv 16 / conv 72": (conv_network(16), conv_network(72), IMAGE),
    "dense 1400 / dense 2400": (dense_network(1400), dense_network(2400), VECTOR),
}


def measured(name: str) -> Timing:
    """Return the timing of a pair of networks."""
    first, second, shape = PAIRS[name]
    return measure_latency(bound(first, shape), bound(second, shape))


def main(n_repeats: int = 3) -> int:
    """Print the table; return 1 where a ratio under load is wrong without a word."""
    worst = 0.0
    for name in PAIRS:
        quiet = measured(name)
        word = "steady" if quiet.is_steady else "not steady"
        cells = [f"{quiet.ratio[0]:.3f} ({word}, source {quiet.reference.seconds * 1e3:.2f} ms)"]
        with busy_loops(N_LOOPS):
            for _ in range(n_repeats):
                busy = measured(name)
                deviation = busy.ratio[0] / quiet.ratio[0] - 1
                word = "refused" if not busy.is_usable else "CPU time, busy" if busy.is_cpu_time else "wall"
                cells.append(f"{busy.ratio[0]:.3f} ({deviation:+.1%}, {word}, {busy.n_disturbed} of {busy.n_rounds})")
                worst = max(worst, abs(deviation) if busy.is_usable else 0.0)
        print(f"{name:24s} {' | '.join(cells)}", flush=True)
    print(f"largest deviation that was not refused: {worst:.1%}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
