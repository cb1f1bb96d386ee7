"""Coverage of energy intervals on the paper's fronts, where the truth has another functional form; and of the draws."""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import explorer
from explorer.api.models import load_model
from explorer.models.posterior_draws import posterior_draws, predict_draws
from tests.energy_forms import FORMS, coverage, energy_posterior

FRONTS = ("edp-accuracy", "paper")
N_DRAWS = 20_000
KNOBS = ["family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz"]


def paper_rows() -> pd.DataFrame:
    """Return the knobs, latency and energy of the paper's ten rows."""
    columns = load_model("paper").samples.columns
    return pd.DataFrame({k: columns[k] for k in (*KNOBS, "latency_s", "energy_j")})


def front_of(study: str) -> pd.DataFrame:
    """Return the front of a shipped study with its default trials."""
    with tempfile.TemporaryDirectory() as folder:
        return explorer.run(study, out=folder).results.front()


def score_forms(study: str) -> dict[str, Any]:
    """Return the coverage of a study's front for each form as the truth, and each form's log evidence.

    The bar is 0.85 for forms of comparable evidence; what is implausible (a log Bayes factor below -3) is listed too.
    """
    front, rows = front_of(study), paper_rows()
    result: dict[str, Any] = {"n_front": len(front), "certainty": front["certainty"].value_counts().to_dict()}
    posteriors = {name: energy_posterior(form, rows) for name, form in FORMS.items()}
    best = max(posterior.log_evidence for posterior in posteriors.values())
    for name, posterior in posteriors.items():
        result[name] = {
            "measurements": coverage(front, posterior),
            "values": coverage(front, posterior, with_noise=False),
            "log_evidence": posterior.log_evidence - best,
        }
    return result


def score_draws(model_name: str, *, n_designs: int = 200) -> dict[str, Any]:
    """Return the share of many draws of another seed within the nominal 90 % intervals, mean and range over designs."""
    model = load_model(model_name)
    designs = designs_between(model.samples.columns, n_designs)
    predicted = explorer.predict(model_name, designs)
    columns = {name: designs[name].to_numpy(dtype=object if name == "family" else float) for name in designs}
    draws = predict_draws(model, posterior_draws(model, n=N_DRAWS, seed=1), columns, with_noise=True)
    return {target: coverage_of_draws(predicted, target, draws[target]) for target in model.targets}


def coverage_of_draws(predicted: pd.DataFrame, target: str, values: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Return the share of draws (S, n) within the intervals of n designs: mean, lowest and highest over the designs."""
    low, high = predicted[f"{target}_lo"].to_numpy(), predicted[f"{target}_hi"].to_numpy()
    share = np.mean((low <= values) & (values <= high), axis=0)
    return {"mean": float(share.mean()), "lowest": float(share.min()), "highest": float(share.max())}


def designs_between(samples: Any, n: int, *, families: Sequence[str] = (), seed: int = 0) -> pd.DataFrame:
    """Return n random designs within the range of each family's samples."""
    rng = np.random.default_rng(seed)
    names = list(families or dict.fromkeys(samples["family"].tolist()))
    parts = []
    for name in names:
        rows = samples["family"] == name
        ends = {k: (samples[k][rows].min(), samples[k][rows].max()) for k in KNOBS[1:]}
        size = n // len(names)
        parts.append(pd.DataFrame({"family": name, **{k: rng.uniform(*end, size) for k, end in ends.items()}}))
    return pd.concat(parts, ignore_index=True)
