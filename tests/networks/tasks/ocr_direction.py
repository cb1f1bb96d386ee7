"""Direction of a text line: handwritten digits, every second line turned by 180 degrees."""

import numpy as np
import source


def data():
    """Return 64 lines, shape (64, 3, 48, 192), and 1 where a line is turned."""
    x, _ = source.text_lines(64, height=48, width=192, n_digits=4)
    x[1::2] = x[1::2, :, ::-1, ::-1]
    return x, np.arange(64) % 2
