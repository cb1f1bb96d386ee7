"""Labelled data: valid and rejected sources, and no execution of code in an npz."""

import io
import pickle
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.errors import InvalidFile, UnknownName, WrongUsage
from explorer.io import npz as bounded
from explorer.network.graph.model import ZOO
from explorer.network.graph.session import Input
from explorer.network.task.feeds import make_feeds
from explorer.network.task.labelled_data import LabelledData, load_data, make_labelled_data, read_npz
from explorer.network.task.module import digest_imports
from tests.network.conftest import refusal


class Bomb:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def one_input(*shape: int | None, dtype: str = "float32", name: str = "x") -> list[Input]:
    return [Input(name, np.dtype(dtype), shape)]


def test_shipped_digits_are_the_held_out_set_of_scikit_learn() -> None:
    """Rebuild the held-out set as the training script does; it was not used for training."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    _, x_test, _, y_test = train_test_split(x.reshape(-1, 8, 8), y, test_size=0.4, random_state=0, stratify=y)
    data = load_data("digits")

    assert np.array_equal(data.inputs["x"], x_test)
    assert np.array_equal(data.labels, y_test)
    assert data.n_samples == 719


def test_inputs_are_matched_by_name_or_as_x(tmp_path: Path) -> None:
    for name in ("x", "image"):
        data = read_npz(npz(tmp_path / "d.npz", **{name: np.ones((4, 3)), "y": np.arange(4)}))
        ready = make_feeds(data, one_input(None, 3, name="image"))
        assert ready["image"].dtype == np.float32
        assert ready["image"].shape == (4, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((3, 2))}, "has no array 'y'"),
        ({"y": np.arange(3)}, "has no inputs"),
        ({"x": np.ones((4, 2)), "y": np.arange(3)}, "array 'x': has 4 samples, y has 3"),
        ({"x": np.ones(()), "y": np.arange(3)}, "array 'x': has one number"),
        (
            {"x": np.ones((3, 2)), "y": np.array([0.0, 1.0, 2.0])},
            r"array 'y': .*type float64\n.*y.ravel\(\).astype\(int\)",
        ),
        ({"x": np.ones((3, 2)), "y": np.array([0.0, np.nan, 2.0])}, "type float64\n.*; other labels need score"),
        ({"x": np.ones((3, 2)), "y": np.eye(3, dtype=int)}, r"array 'y': has shape \(3, 3\).*\n.*y.argmax\(axis=1\)"),
        ({"x": np.ones((3, 2)), "y": np.array([0, -1, 2])}, "array 'y': has the class -1"),
        ({"x": np.ones((0, 2)), "y": np.arange(0)}, "array 'y': has no labels"),
        ({"x": np.array([[np.nan], [1]]), "y": np.arange(2)}, "array 'x': has NaN or infinite"),
        ({"x": np.ones(2, dtype=complex), "y": np.arange(2)}, "of type complex128"),
    ],
)
def test_inconsistent_data_is_reported(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        read_npz(npz(tmp_path / "d.npz", **arrays))


def test_pickle_in_an_npz_is_not_executed(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    hidden = np.array([Bomb(trace)], dtype=object)
    npz(tmp_path / "d.npz", x=hidden, y=np.arange(1))
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        archive.writestr("y.npy", pickle.dumps(Bomb(trace)))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Bomb(trace)))

    for name in ("d.npz", "raw.npz", "bare.npz"):
        with pytest.raises(InvalidFile, match=r"of type object|not a readable npz"):
            read_npz(tmp_path / name)
    assert not trace.exists()


def test_array_with_a_false_size_is_rejected(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())

    with pytest.raises(InvalidFile, match=r"array 'x': does not have the length of its header"):
        read_npz(tmp_path / "d.npz")


def test_zip_bomb_is_rejected_before_decompression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros(1_000_000), y=np.arange(2))
    monkeypatch.setattr(bounded, "MAX_DATA_BYTES", 100_000)

    assert (tmp_path / "d.npz").stat().st_size < 100_000
    with pytest.raises(InvalidFile, match=r"unpacks to 8,000,\d+ bytes\n  fix: keep it under 100,000 bytes"):
        read_npz(tmp_path / "d.npz")


@pytest.mark.parametrize("seed", range(50))
def test_corrupted_npz_is_rejected_or_loaded(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray((ZOO / "digits.npz").read_bytes())
    at = rng.randrange(len(data))
    match seed % 4:
        case 0:
            del data[at:]
        case 1:
            data[at] ^= 1 << rng.randrange(8)
        case 2:
            data[at:at] = rng.randbytes(8)
        case _:
            del data[at : at + 8]
    path = tmp_path / "d.npz"
    path.write_bytes(data)

    error = refusal(lambda: read_npz(path))

    assert error is None or (error.exit_code == 3 and "fix:" in str(error))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (one_input(None, 4), r"has samples of shape \(3,\)\n  fix: the network takes 4"),
        (one_input(None, 3, 2), r"has samples of shape \(3,\)\n  fix: the network takes 3 x 2"),
        (one_input(None, 3, dtype="int64"), "is float64\n  fix: the network takes int64"),
        (
            [*one_input(None, 3, name="a"), *one_input(None, 3, name="b")],
            "(?s)array 'x': is not an input.*'a': has no arr",
        ),
        (one_input(), "the input is a scalar"),
    ],
)
def test_data_that_does_not_fit_the_network_is_reported(inputs: list[Input], message: str) -> None:
    data = make_labelled_data({"x": np.ones((2, 3)), "y": np.arange(2)}, source="d.npz")

    with pytest.raises(InvalidFile, match=message):
        make_feeds(data, inputs)


def test_unknown_data_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        load_data("digit")
    with pytest.raises(WrongUsage, match="no such file"):
        load_data("./nowhere.npz")


TASK = "import numpy as np\ndef data():\n    return np.ones((4, 3), dtype='f4'), np.array([0, 1, 0, 1])\n"


def test_data_is_loaded_from_a_python_file(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text(f"{TASK}def predict(run, inputs):\n    return [0, 0, 0, 0]\n")
    data = load_data(f"python:{path}")

    assert isinstance(data, LabelledData)
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.predict is not None


def test_data_is_loaded_from_a_module_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_task.py").write_text(
        TASK.replace("return np.ones", "return {'a': np.ones").replace("'f4')", "'f4')}")
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert set(load_data("python:my_own_task").inputs) == {"a"}
    sys.modules.pop("my_own_task")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"has no function data\(\)"),
        ("def data():\n    return 1", "does not return two values"),
        ("def data():\n    raise RuntimeError('no disk')", "RuntimeError: no disk"),
        ("import no_such_thing_at_all", "ModuleNotFoundError"),
        ("def data(:", "SyntaxError"),
        (f"{TASK}predict = 3", "predict is not a function"),
    ],
)
def test_module_without_valid_data_is_reported(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "task.py"
    path.write_text(text)

    with pytest.raises(WrongUsage, match=message):
        load_data(f"python:{path}")


def test_missing_module_is_reported() -> None:
    with pytest.raises(WrongUsage, match="no such file"):
        load_data("python:./nowhere.py")
    with pytest.raises(WrongUsage, match=r"no such module\n  fix: name an installed module, or python:./FILE.py"):
        load_data("python:no_such_module_anywhere")


def test_python_file_imports_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_my_task.py").write_text(TASK)
    (tmp_path / "task.py").write_text("from beside_my_task import data")

    assert load_data(f"python:{tmp_path / 'task.py'}").n_samples == 4


def test_the_sha_of_a_task_module_covers_the_files_that_it_imports(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("from helper import scale\nimport os\n\ndef data(): return [[1.0]], [0]\n")
    (tmp_path / "helper.py").write_text("import tables.units\nscale = 1\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/units.py").write_text("unit = 1\n")
    (tmp_path / "alone.py").write_text("scale = 1\n")
    text = (tmp_path / "task.py").read_text()

    def digest() -> str:
        return digest_imports(text, tmp_path)

    first = digest()
    (tmp_path / "alone.py").write_text("scale = 2\n")
    assert digest() == first != ""
    (tmp_path / "tables/units.py").write_text("unit = 2\n")
    assert digest() != first
    assert digest_imports("import numpy as np\n", tmp_path) == ""
