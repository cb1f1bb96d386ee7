"""User function in another process: serialization, plain results, failures."""

import math
import pickle
import platform
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.models.measured.task import SourceFunction, call_task, dump_task

SOURCE = """
import sys
runs = globals().get("runs", 0) + 1

class Watts(float):
    pass

def measure(design):
    return {"energy_j": Watts(design["x"]), "runs": runs, "file": __file__}

def broken(design):
    raise KeyError("x" * 5000)

def leaves(design):
    sys.exit(3)

def stops(design):
    raise KeyboardInterrupt
"""


def call(name: str, source: str = SOURCE) -> tuple[str, Any]:
    kind, value, host = call_task(dump_task(SourceFunction("/home/user/task.py", name, source)), {"x": 2.5})
    assert host == platform.node()
    return kind, value


def test_source_is_executed_once_a_process() -> None:
    for _ in range(3):
        assert call("measure") == ("ok", {"energy_j": 2.5, "runs": 1, "file": "/home/user/task.py"})


def test_exceptions_of_the_function_are_bounded_text() -> None:
    status, text = call("broken")

    assert (status, len(text)) == ("failed", 1000)
    assert text.startswith("KeyError: 'xxx")
    assert call("leaves") == ("failed", "SystemExit: 3")
    assert call("missing")[0] == "unusable"
    assert call("measure", "def measure(:")[1].startswith("SyntaxError: ")
    with pytest.raises(KeyboardInterrupt):
        call("stops")


def test_traceback_shows_lines_of_a_missing_file() -> None:
    function = SourceFunction("/home/user/other.py", "broken", SOURCE)
    with pytest.raises(KeyError) as caught:
        pickle.loads(pickle.dumps(function))({})  # noqa: S301

    assert 'raise KeyError("x" * 5000)' in "".join(traceback.format_exception(caught.value))


def test_results_are_plain_objects() -> None:
    raw = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": (True, None),
        "d": Path("x"),
        "e": np.str_("word"),
        "f": np.array(0.5),
    }

    status, value, _ = call_task(dump_task(lambda _: raw), {})

    assert (status, value) == ("ok", {"a": 0.5, "b": 3, "c": [True, None], "d": repr(Path("x")), "e": "word", "f": 0.5})
    assert isinstance(value, dict)
    assert type(value["a"]) is float
    assert type(value["b"]) is int
    assert type(value["e"]) is str


def test_user_functions_and_closures_are_pickled_by_value() -> None:
    scale = 3.0
    payload = dump_task(lambda design: {"energy_j": scale * math.sqrt(design["x"])})

    code = f"from explorer.models.measured.task import call_task; print(call_task({payload!r}, {{'x': 4.0}})[:2])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "('ok', {'energy_j': 6.0})\n"


def test_function_of_another_python_version_is_refused() -> None:
    payload = dump_task(lambda _: {})
    assert str(call_task(b"3.9\n" + payload.partition(b"\n")[2], {})[1]).startswith(
        "RuntimeError: the function comes from Python 3.9, this worker runs Python 3."
    )


def test_function_that_cannot_be_pickled_is_a_type_error() -> None:
    with socket.socket() as meter, pytest.raises(TypeError, match=r"<lambda> cannot be sent to another process"):
        dump_task(lambda _: {"energy_j": meter.fileno()})


def test_module_needs_only_the_standard_library() -> None:
    """A worker executes its text where neither explorer nor anything else is installed."""
    import explorer.models.measured.task

    text = Path(explorer.models.measured.task.__file__).read_text(encoding="utf-8")
    code = f"m = type(sys)('alone'); sys.modules['alone'] = m; exec({text!r}, m.__dict__); print(m.IS_WHOLE)"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; {code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "True\n"
