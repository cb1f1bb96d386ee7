"""What is tried before any sampler proposes: measured configurations, and every design where all can be tried."""

from collections.abc import Iterator

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import PosteriorModel
from explorer.problem.columns import Columns, knobs_of, stack
from explorer.search.begin import Run
from explorer.search.tried import keys_of


def measured_designs(assessment: Assessment) -> tuple[Columns | None, list[str]]:
    """Return the model's samples that the regions can make, each once, with their labels.

    They are tried first: whatever a sampler does, they are designs.
    """
    found = list(_samples(assessment))
    return (stack([row for row, _ in found]) if found else None), [label for _, label in found]


def _samples(assessment: Assessment) -> Iterator[tuple[Columns, str]]:
    evaluator = assessment.evaluator
    if not isinstance(evaluator, PosteriorModel):
        return
    columns = evaluator.samples.columns
    seen = set()
    for i, label in enumerate(evaluator.samples.labels):
        region = assessment.regions.get(columns["family"][i])
        row = {name: columns[name][i : i + 1] for name in knobs_of(columns)}
        if region is None or not region.contains(row).all():
            continue
        knobs = region.knobs(row)
        made = region.designs({axis.name: np.clip(knobs[axis.name], axis.low, axis.high) for axis in region.axes})
        (key,) = keys_of(made)
        if key not in seen:
            seen.add(key)
            yield made, label


def wants_all(assessment: Assessment) -> bool:
    """Tell whether as many trials are asked for as there are designs: then it is for all designs to be tried."""
    return assessment.n_designs <= assessment.study.trials


def wanted_trials(run: Run) -> int:
    """Return how many COMPLETE trials a study is searched for: those asked for.

    Where all designs are to be tried: fewer trials where that is enough, more where some were tried twice before.
    """
    assessment = run.assessment
    if not wants_all(assessment):
        return assessment.study.trials
    left = set(keys_of(assessment.every_design())) - set(keys_of(run.tried.table))
    return run.tried.n + len(left)
