"""Coverage of intervals on random splits of measured tables, leave-one-out errors, and the cost of large fits."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pandas as pd

import explorer
import explorer.models
from explorer.api.models import FittedModel, fit_model
from explorer.errors import ExplorerError

SHIPPED = Path(explorer.models.__file__).parent
# File, renamed columns, knobs besides those known by name, ignored columns.
TABLES: dict[str, tuple[str, dict[str, str], list[str], list[str]]] = {
    "rk3399": ("mlperf_edge_rk3399_tflite.csv", {}, ["resolution_px"], []),
    "zeus": ("zeus_v100_resnet50.csv", {}, ["batch_size", "power_limit_w"], []),
    "hawq": ("hawq.csv", {}, ["model", "scheme"], []),
    "tiny": ("mlperf_tiny_core_voltage.csv", {"board": "family", "core_voltage_v": "voltage_v"}, ["task"], []),
    "h100_energy": ("h100_energy.csv", {}, ["precision", "batch_size"], ["weight_bits", "frequency_hz"]),
    "h100_accuracy": ("h100_accuracy.csv", {}, [], []),
}
TARGETS = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "size_mb", "throughput_ops")
_TRAIN_SHARE = 0.6
SCALES = {"rows_1000_knobs_5": (1_000, 5), "rows_10000_knobs_5": (10_000, 5), "rows_300_knobs_200": (300, 200)}
_LIMIT_S = 300


def read_table(name: str, folder: Path) -> pd.DataFrame:
    """Return the rows of a table that have all knobs, with the columns renamed as the README of the models asks."""
    file, renamed, _, _ = TABLES[name]
    path = folder / file if (folder / file).is_file() else SHIPPED / file
    frame = pd.read_csv(path).rename(columns=renamed)
    return frame.dropna(subset=[k for k in knobs_of_table(name, frame) if k in frame]).reset_index(drop=True)


def knobs_of_table(name: str, frame: pd.DataFrame) -> list[str]:
    """Return the columns of a table that are knobs."""
    _, _, own, ignored = TABLES[name]
    named = ("family", "pruning_ratio", "quant_step", "weight_bits", "voltage_v", "frequency_hz")
    return [k for k in (*named, *own) if k in frame and k not in ignored]


def score_splits(name: str, folder: Path, *, seeds: int = 10) -> dict[str, Any]:
    """Return coverage and median relative half width of held-out rows (absolute for accuracy), one entry a target."""
    frame = read_table(name, folder)
    knobs = knobs_of_table(name, frame)
    gathered: dict[str, list[np.ndarray[Any, Any]]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(frame))
        n_train = round(_TRAIN_SHARE * len(frame))
        train, test = frame.iloc[order[:n_train]], frame.iloc[order[n_train:]]
        for target, row in _score_split(name, train, test, knobs):
            gathered.setdefault(target, []).append(row)
    return {
        target: {
            "n": sum(len(r) for r in rows),
            "coverage": float(np.concatenate(rows)[:, 0].mean()),
            "coverage_by_seed": [round(float(r[:, 0].mean()), 3) for r in rows],
            "median_half_width": float(np.median(np.concatenate(rows)[:, 1])),
            "mean_error": float(np.concatenate(rows)[:, 2].mean()),
        }
        for target, rows in gathered.items()
    }


def _score_split(
    name: str, train: pd.DataFrame, test: pd.DataFrame, knobs: list[str]
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield (target, rows of: inside the interval, half width, error) of one split."""
    _, _, own, ignored = TABLES[name]
    for knob in (k for k in knobs if not pd.api.types.is_numeric_dtype(train[k])):
        test = test[test[knob].isin(set(train[knob]))]
    if not len(test):
        return
    try:
        model = fit_model(train, knobs=own, ignore=ignored)
        predicted = explorer.predict(FittedModel(model, {}, None), test[knobs].reset_index(drop=True))
    except ExplorerError as error:
        sys.stderr.write(f"{name}: a split could not be fitted: {error}\n")
        return
    for target in (t for t in TARGETS if t in test):
        column, unit = ("size_bytes", 1e6) if target == "size_mb" else (target, 1.0)
        truth = test[target].to_numpy(dtype=float) * unit
        low, high, middle = (predicted[f"{column}{end}"].to_numpy() for end in ("_lo", "_hi", ""))
        scale = 1.0 if target == "accuracy" else np.abs(truth)
        inside = (low <= truth) & (truth <= high)
        rows = np.stack([inside, (high - low) / 2 / scale, np.abs(middle - truth) / scale], axis=1)
        yield column, rows[np.isfinite(truth) & np.isfinite(low)]


def score_front(name: str, folder: Path, *, seeds: int = 10) -> dict[str, Any]:
    """Return the share of the measured front's hypervolume (energy, accuracy) that the predicted front of all rows has.

    The model is fitted to 60 % of the rows; both fronts are judged by their measured values.
    """
    frame = read_table(name, folder).dropna(subset=["energy_j", "accuracy"]).reset_index(drop=True)
    _, _, own, ignored = TABLES[name]
    shares = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(frame))
        train = frame.iloc[order[: round(_TRAIN_SHARE * len(frame))]]
        rows = frame[frame["family"].isin(set(train["family"]))]
        measured = np.stack([np.log(rows["energy_j"]), -rows["accuracy"]], axis=1)
        reference = measured.max(axis=0)
        model = fit_model(train, knobs=own, ignore=ignored)
        predicted = explorer.predict(
            FittedModel(model, {}, None), rows[knobs_of_table(name, frame)].reset_index(drop=True)
        )
        values = np.stack([np.log(predicted["energy_j"]), -predicted["accuracy"]], axis=1)
        front = measured[np.asarray(moocore.is_nondominated(values), dtype=bool)]
        shares.append(moocore.hypervolume(front, ref=reference) / moocore.hypervolume(measured, ref=reference))
    return {"mean": float(np.mean(shares)), "lowest": float(np.min(shares)), "n": len(shares)}


def score_fit(name: str, folder: Path) -> dict[str, Any]:
    """Return the leave-one-out errors, coverage and half widths that `fit` reports, one entry a target."""
    frame = read_table(name, folder)
    _, _, own, ignored = TABLES[name]
    began = time.process_time()
    fitted = explorer.fit(frame, knobs=own, ignore=ignored)
    return {"cpu_s": time.process_time() - began, "targets": quality_of(fitted.summary)}


def quality_of(summary: Any) -> dict[str, dict[str, float]]:
    """Return the four figures of merit of each target of a fit's summary."""
    names = ("n", "loo_mae", "loo_mape", "coverage_90", "mean_half_width")
    return {t: {name: row.get(name) for name in names} for t, row in summary["targets"].items()}


def large_table(n_rows: int, n_knobs: int, *, seed: int = 0) -> tuple[pd.DataFrame, list[str]]:
    """Return a table of two targets with a few effective knobs and 2 % noise, and its knobs.

    Five knobs are those of a compressed network on a device: the energy has a fixed, a static and a switched part.
    """
    rng = np.random.default_rng(seed)

    def noisy(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(values * np.exp(0.02 * rng.standard_normal(n_rows)))

    if n_knobs == 5:
        family = rng.choice(["cnn", "mlp"], n_rows)
        r, v = rng.uniform(0.0, 0.8, n_rows), rng.uniform(0.7, 1.1, n_rows)
        bits, f = rng.choice([4.0, 6.0, 8.0, 16.0], n_rows), rng.uniform(0.5e9, 2.5e9, n_rows)
        latency = np.where(family == "cnn", 0.03, 0.01) * (0.2 + 0.8 * (1 - r) * (bits / 16) ** 0.3) * (1e9 / f)
        energy = latency * (1.0 + 0.5 * v) + 0.05 * (1 - r) * v**2
        columns = {"family": family, "pruning_ratio": r, "weight_bits": bits, "voltage_v": v, "frequency_hz": f}
        own: list[str] = []
    else:
        x = rng.uniform(size=(n_rows, n_knobs))
        latency = np.exp(0.8 * x[:, 0] - 0.5 * x[:, 1] + 0.3 * x[:, 2] * x[:, 3])
        energy = np.exp(1.2 * x[:, 0] + 0.7 * (x[:, 4] - 0.4) ** 2)
        own = [f"knob_{i}" for i in range(n_knobs)]
        columns = dict(zip(own, x.T, strict=True))
    return pd.DataFrame({**columns, "latency_s": noisy(latency), "energy_j": noisy(energy)}), own


def score_scale(name: str) -> dict[str, Any]:
    """Return CPU seconds and peak memory of a fit in a process of its own, which is stopped after five CPU minutes."""
    command = [sys.executable, __file__, name]
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
    if done.returncode:
        return {"stopped_after_cpu_s": spent, "message": done.stderr[-300:]}
    return dict(json.loads(done.stdout))


def score_paper() -> dict[str, Any]:
    """Return the paper's leave-one-out figures, and the CPU seconds of `explorer run paper` in a new process."""
    quality = quality_of(explorer.fit("paper").summary)
    with tempfile.TemporaryDirectory() as folder:
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "explorer", "run", "paper", "--out", f"{folder}/out"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = used.ru_utime + used.ru_stime - began.ru_utime - began.ru_stime
    return {"targets": quality, "run_paper_cpu_s": spent}


def _fit_once(name: str) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT_S, _LIMIT_S))
    frame, own = large_table(*SCALES[name])
    began = time.process_time()
    fitted = explorer.fit(frame, knobs=own)
    spent = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"cpu_s": spent, "peak_gb": peak, "targets": quality_of(fitted.summary)}))


if __name__ == "__main__":
    _fit_once(sys.argv[1])
