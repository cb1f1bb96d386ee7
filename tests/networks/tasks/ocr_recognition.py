"""Text recognition: share of equal characters with the source's reading, after CTC decoding, for each line."""

import difflib

import numpy as np
import source


def data():
    """Return six lines of digits, shape (6, 3, 48, 320), and the source's readings."""
    x, _ = source.text_lines(6, height=48, width=320, n_digits=5)
    return x, _readings(source.run({"x": x}))


def score(run, inputs, y):
    """Return the similarity of both readings: 2 x equal characters / all characters."""
    readings = _readings(run({"x": inputs["x"]}))
    return [difflib.SequenceMatcher(None, one, other).ratio() for one, other in zip(readings, y, strict=True)]


def _readings(outputs):
    """Return the characters' numbers of each line: repetitions are one, 0 is the gap between characters."""
    (probabilities,) = outputs.values()
    return [
        [int(c) for c, before in zip(line, [0, *line[:-1]], strict=True) if c not in (0, before)]
        for line in np.argmax(probabilities, axis=2).tolist()
    ]
