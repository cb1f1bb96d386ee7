"""Fixtures for bundles: a chosen.json as `explorer choose` writes it, with changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from explorer.api import choose, run
from explorer.io.json_text import finite
from explorer.network.task.labelled_data import LabelledData, load_data, make_labelled_data

Change = Callable[[dict[str, Any]], object]
Write = Callable[..., Path]


@pytest.fixture(scope="session")
def payload(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("deployed")
    run("edp-accuracy", trials=60, out=out)
    chosen: dict[str, Any] = finite(choose(out, design=1, where=["accuracy >= 0.9"]).record)  # CNN2: R 0.46, D 0.03
    return chosen


@pytest.fixture(scope="session")
def digits() -> LabelledData:
    """Return a fifth of the held-out digits: enough for a verdict, and fast."""
    whole = load_data("digits")
    return make_labelled_data({"x": whole.inputs["x"][::5], "y": whole.labels[::5]}, source="digits.npz")


@pytest.fixture
def write(payload: dict[str, Any], tmp_path: Path) -> Write:
    """Return a function that writes chosen.json, after a change to it if one is given, and returns its path."""

    def write_changed(change: Change | None = None) -> Path:
        copy = json.loads(json.dumps(payload))
        if change is not None:
            change(copy)
        path = tmp_path / "chosen.json"
        path.write_text(json.dumps(copy), encoding="utf-8")
        return path

    return write_changed
