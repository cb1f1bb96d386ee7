"""Source network that labels the samples of the tasks beside this file, run by onnxruntime alone; pages of digits."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import explorer

Array = NDArray[Any]
DIGITS = Path(explorer.__file__).parent / "network/zoo/digits.npz"


def session() -> onnxruntime.InferenceSession:
    """Open the network that the environment variable SOURCE_NETWORK names; once."""
    return _opened(os.environ["SOURCE_NETWORK"])


@functools.cache
def _opened(path: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(feeds: dict[str, Array]) -> dict[str, Array]:
    """Run the source network."""
    source = session()
    names = [output.name for output in source.get_outputs()]
    return dict(zip(names, source.run(names, feeds), strict=True))


def text_lines(n: int, *, height: int, width: int, n_digits: int) -> tuple[Array, list[str]]:
    """Return n images of a line of handwritten digits, shape (n, 3, height, width) in [-1, 1], and their texts."""
    stored = np.load(DIGITS)
    rng = np.random.default_rng(0)
    images, texts = np.ones((n, 3, height, width), dtype=np.float32), []
    pixel = np.linspace(0, 7, height)
    low = pixel.astype(int)
    mix = np.zeros((height, 8))
    mix[np.arange(height), low] += 1 - (pixel - low)
    mix[np.arange(height), np.minimum(low + 1, 7)] += pixel - low
    for image in images:
        rows = rng.integers(0, len(stored["y"]), n_digits)
        for k, row in enumerate(rows):
            glyph = 1 - mix @ (stored["x"][row].reshape(8, 8) / 8.0) @ mix.T
            image[:, :, k * height : (k + 1) * height] = glyph
        texts.append("".join(str(stored["y"][row]) for row in rows))
    return images, texts
