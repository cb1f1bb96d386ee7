"""Damaged model files: a file damaged anywhere is rejected with a fix or still predicts; it never raises otherwise."""

import copy
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.models.loading import load_model, model_to_json
from explorer.models.posterior_draws import PosteriorModel
from explorer.models.predict import predict_designs
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.tables import KnobColumns, with_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples, paper_samples
from explorer.problem.columns import Columns, take

KNOBS = (
    KnobSpec("family", "category"),
    KnobSpec("pruning_ratio", "number"),
    KnobSpec("quant_step", "number", is_log=True),
    KnobSpec("batch_size", "number", is_log=True),
    KnobSpec("precision", "category"),
)


def measured() -> Samples:
    """Return 36 rows: accuracy has a cliff, energy and latency scale with the remaining weights."""
    rng = np.random.default_rng(0)
    index = np.arange(36)
    columns: Columns = {
        "family": np.array(["CNN", "RNN"], dtype=object)[index % 2],
        "pruning_ratio": np.array([0.0, 0.3, 0.6, 0.8])[index % 4],
        "quant_step": np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3])[index // 6],
        "batch_size": 2.0 ** (index % 5),
        "precision": np.array(["fp32", "fp16"], dtype=object)[index // 3 % 2],
    }
    remains, step = 1 - columns["pruning_ratio"], columns["quant_step"]
    columns["accuracy"] = 0.1 + 0.85 / (1 + (step / 0.1) ** 4) + 0.005 * rng.standard_normal(36)
    columns["latency_s"] = (0.01 + 0.02 * remains) * np.exp(0.02 * rng.standard_normal(36))
    columns["energy_j"] = remains**0.6 / columns["batch_size"] ** 0.3 * np.exp(0.02 * rng.standard_normal(36))
    return Samples(columns, tuple(f"row {i}" for i in index), "made", "0")


@cache
def text_of(kind: str) -> str:
    """Return the file of a model of sampled forms (six of the paper's rows), or of forms fitted at their mode."""
    if kind == "sampled":
        rows = paper_samples().rows(np.arange(10) < 6)
        columns = {name: rows.columns[name] for name in (*KNOB_NAMES, "accuracy", "energy_j")}
        table = with_knobs(Samples(columns, rows.labels, "paper", "0", original_bytes={"CNN": 48e6}))
    else:
        table = KnobColumns(measured(), KNOBS)
    return json.dumps(model_to_json(fit_surrogate([table], name="made")))


def use(model: PosteriorModel) -> None:
    """Use a model as a run does: its domain, the levels of its knobs, predictions with intervals."""
    names = ("family", *model.domain[model.families[0]], *model.choices(model.families[0]))
    designs = take({name: model.samples.columns[name] for name in names}, np.arange(3))
    assert all(isinstance(note, str) for note in model.notes)
    for values in predict_designs(model, designs).values():
        assert len(values) == 3


WRONG: tuple[Any, ...] = (
    None, True, False, "", "x", "0", "NaN", 0, -1, 1, 2, 0.5, 1e12, -1e308, 1e308, 10**400, float("nan"), float("inf"),
    -float("inf"), [], {}, [[]], [0.0], ["x"], {"x": 1}, [None] * 3, [1.0] * 5_000, ["x"] * 5_000, [[1.0] * 50] * 50,
)  # fmt: skip
KNOB_NAMES = ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
NAMES = ("x", "", "family", "level", "energy_j", "voltage_v", "pruning_ratio")


def damage(node: Any, rng: random.Random) -> str:
    """Damage one position of a JSON value, at any depth, and return a description."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = rng.choice(keys)
    if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.75:
        return f"{key}.{damage(node[key], rng)}"
    how = rng.choice(["delete", "replace", "replace", "another", "swap"])
    if how == "delete":
        del node[key]
    elif how == "replace":
        node[key] = copy.deepcopy(rng.choice(WRONG))
    elif how == "swap":
        second = rng.choice(keys)
        node[key], node[second] = node[second], node[key]
    elif isinstance(node, list):
        node.insert(key, copy.deepcopy(node[key]))
    else:
        node[rng.choice(NAMES)] = node.pop(key)
    return f"{key}: {how} ({str(node)[:60]})"


def damaged(kind: str, seed: int) -> Any:
    """Return a model's file with one to three positions deleted, replaced, doubled, swapped or renamed."""
    rng = random.Random(seed)
    data = json.loads(text_of(kind))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if data:
            note(damage(data, rng))
    return data


def assert_rejected_or_usable(data: Any, path: Path) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")
    message = ""
    try:
        use(load_model(str(path)))
    except InvalidFile as error:
        message = str(error)

    assert not message or "fix: " in message
    assert len(message) < 20_000


@pytest.mark.parametrize("kind", ["modes", "sampled"])
@pytest.mark.slow
def test_undamaged_files_are_valid(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(text_of(kind), encoding="utf-8")

    use(load_model(str(path)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_damaged_modes_are_rejected_or_still_predict(tmp_path: Path, seed: int) -> None:
    assert_rejected_or_usable(damaged("modes", seed), tmp_path / "model.json")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_damaged_sampled_forms_are_rejected_or_still_predict(tmp_path: Path, seed: int) -> None:
    assert_rejected_or_usable(damaged("sampled", seed), tmp_path / "model.json")
