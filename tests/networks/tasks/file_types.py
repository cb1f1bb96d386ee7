"""File types: real files of the Python that runs this, classes by their suffix; the ends of a file as tokens."""

import json
import os
import sysconfig
from pathlib import Path

import numpy as np

TYPES = {".py": "python", ".json": "json", ".so": "elf", ".h": "c", ".md": "markdown", ".pyc": "pythonbytecode",
         ".css": "css", ".js": "javascript", ".npz": "npz", ".whl": "zip", ".csv": "csv", ".toml": "toml",
         ".onnx": "onnx", ".html": "html"}  # fmt: skip
N_EACH, SIZE, BLOCK, PADDING = 8, 1024, 4096, 256


def data():
    """Return up to eight files of each type as tokens, shape (n, 2048), and their classes."""
    config = Path(os.environ["SOURCE_NETWORK"]).with_name("config.min.json")
    classes = json.loads(config.read_text(encoding="utf-8"))["target_labels_space"]
    folders = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "include")]
    tokens, labels, counts = [], [], dict.fromkeys(TYPES, 0)
    for path in (path for folder in folders for path in sorted(_files(folder))):
        kind = path.suffix
        if kind in counts and counts[kind] < N_EACH and path.stat().st_size >= 200:
            counts[kind] += 1
            tokens.append(_tokens(path.read_bytes()))
            labels.append(classes.index(TYPES[kind]))
    return np.array(tokens, dtype=np.int32), np.array(labels)


def _files(folder):
    return [path for pattern in ("*.*", "*/*.*", "*/*/*.*") for path in Path(folder).glob(pattern) if path.is_file()]


def _tokens(content):
    """Return the first and last 1,024 bytes without white space around them, padded."""
    first, last = content[:BLOCK].lstrip()[:SIZE], content[-BLOCK:].rstrip()[-SIZE:]
    return [*first, *[PADDING] * (SIZE - len(first)), *[PADDING] * (SIZE - len(last)), *last]
