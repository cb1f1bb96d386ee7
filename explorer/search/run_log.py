"""Provenance of results: the log of a study's runs and the inputs needed to repeat them."""

import datetime
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from explorer import __version__
from explorer.io.files import cannot_write
from explorer.models.evaluation import Problem
from explorer.models.machine import machine_checks, machine_of
from explorer.search.samplers.registry import sampler_name
from explorer.search.session import RUNS_ATTR, SearchSession
from explorer.search.storage.retry import StorageUnavailable, translate_storage_errors

_PACKAGES = ("moocore", "numpy", "optuna", "pandas", "plotly", "pydantic", "scipy")

Clock = Callable[[], datetime.datetime]


def build_provenance(
    problem: Problem, *, storage_label: str, runs: Sequence[Mapping[str, Any]], model: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the provenance of a study's results as plain JSON values.

    Args:
        problem: the study with its evaluator.
        storage_label: name of the storage, without a password.
        runs: the runs so far, from `runs_of`.
        model: the evaluator's fingerprint.
    """
    study = problem.study
    return {
        "schema": "explorer.provenance/1",
        "explorer_version": __version__,
        "study": {"name": study.name, "file": str(study.path), "sha256": study.sha256},
        "spaces": [{"name": s.name, "file": str(s.path), "sha256": s.sha256} for s in study.spaces],
        "model": {"name": problem.evaluator.name, **model},
        "machine": machine_of(problem.evaluator),
        "devices": [
            {"device": check.device, "relation": check.relation, "text": check.text}
            for check in machine_checks(study, problem.evaluator, problem.unsupported)
        ],
        "question": study.declaration(),
        "sampler": study.sampler,
        "seed": study.seed,
        "trials": study.trials,
        "storage": storage_label,
        "runs": [dict(run) for run in runs],
        "began": runs[0]["began"] if runs else None,
        "ended": runs[-1]["ended"] if runs else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


@contextmanager
def log_run(session: SearchSession, *, clock: Clock, execution: Mapping[str, Any]) -> Iterator[None]:
    """Append an entry to the study's run log when the context ends, also after an error.

    Args:
        session: the study in its storage.
        clock: returns the current time.
        execution: `Execution.as_json`; empty for this process.

    Raises:
        WrongUsage: the disk is full, or cannot be written.
        StorageUnavailable: the storage does not answer.
    """
    began, n_initial = clock(), session.trials.n
    try:
        with translate_storage_errors(session.storage_label):
            yield
    except OSError as error:
        raise cannot_write(Path(session.storage_label), error) from None
    finally:
        with suppress(OSError, StorageUnavailable), translate_storage_errors(session.storage_label):
            if session.trials.n > n_initial:
                study = session.problem.study
                entry = {
                    "sampler": study.sampler, "proposed_by": sampler_name(session.problem), "seed": study.seed,
                    "from": n_initial, "to": session.trials.n,
                    **({"host": platform.node(), **execution} if execution else {}),
                    "began": began.isoformat(timespec="seconds"), "ended": clock().isoformat(timespec="seconds"),
                }  # fmt: skip
                session.study.set_user_attr(RUNS_ATTR, [*session.study.user_attrs.get(RUNS_ATTR, []), entry])


def runs_of(session: SearchSession) -> list[dict[str, Any]]:
    """Return the runs of a study, ordered by start; earlier versions also stored an entry per worker."""
    attrs = session.study.user_attrs
    workers = [entry for name, entry in attrs.items() if name.startswith(f"{RUNS_ATTR}/")]
    return sorted([*attrs.get(RUNS_ATTR, []), *workers], key=lambda entry: str(entry["began"]))
