"""The optional parts of this folder: onnx and onnxruntime, asked for by name when they are missing."""

from explorer.errors import MissingPart


def need_onnx() -> None:
    """Make sure that onnx and onnxruntime can be imported.

    Raises:
        MissingPart: one of them is not installed.
    """
    for part in ("onnx", "onnxruntime"):
        try:
            __import__(part)
        except ImportError:
            raise MissingPart(part, needed_for="reading, compressing or measuring a network", extra="onnx") from None
