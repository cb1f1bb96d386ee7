"""Provenance: everything that a result depends on, so that a year later it can be made again."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from explorer import __version__
from explorer.models.assessment import Assessment

_PACKAGES = ("moocore", "numpy", "optuna", "pandas", "plotly", "pydantic", "scipy")


def provenance(
    assessment: Assessment, *, place: str, runs: Sequence[Mapping[str, Any]], model: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where a study's results come from, as plain JSON values.

    Args:
        assessment: the study with its evaluator.
        place: where its trials are kept (no password in it).
        runs: the runs so far, with sampler, seed and times.
        model: the evaluator's fingerprint.
    """
    study = assessment.study
    return {
        "schema": "explorer.provenance/1",
        "explorer_version": __version__,
        "study": {"name": study.name, "file": str(study.path), "sha256": study.sha256},
        "spaces": [{"name": s.name, "file": str(s.path), "sha256": s.sha256} for s in study.spaces],
        "model": {"name": assessment.evaluator.name, **model},
        "question": study.declaration(),
        "sampler": study.sampler,
        "seed": study.seed,
        "trials": study.trials,
        "storage": place,
        "runs": [dict(run) for run in runs],
        "began": runs[0]["began"] if runs else None,
        "ended": runs[-1]["ended"] if runs else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
    }
