"""Study of existing results: find its file, and list the changes since the run."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, WrongUsage
from explorer.io.catalog import find_declaration
from explorer.io.files import MAX_DECLARATION_BYTES, is_file, read_text, sha256
from explorer.models.evaluation import Problem, fingerprint, make_problem
from explorer.models.loading import load_evaluator
from explorer.problem.study import read_study

_N_DIGITS = 12


def locate_study_file(provenance: Mapping[str, Any], *, folder: Path, asked: str) -> str:
    """Return the study file of results: that of the recorded SHA-256, else the first that exists.

    Args:
        provenance: of the results.
        folder: the result folder; recorded paths are relative to the folder of the run.
        asked: name of the results as the user typed it: perhaps the study's name or path.

    Raises:
        WrongUsage: no such file exists.
    """
    origin = _origin(provenance)
    existing = [path for path in _candidates(origin, folder, asked) if is_file(path)]
    if not existing:
        digest = f" (SHA-256 {origin['sha256'][:_N_DIGITS]}...)" if origin["sha256"] else ""
        name = origin["file"] or "the study of these results"
        raise WrongUsage(f"{name}: the study file of these results no longer exists",
                         fix=f"give it with --study FILE{digest}, or in Python with study=PROBLEM")  # fmt: skip
    same = [path for path in existing if _sha256(path) == origin["sha256"]]
    return str((same or existing)[0].absolute())


def problem_of_results(provenance: Mapping[str, Any], *, folder: Path, asked: str) -> Problem | str:
    """Return the study of results with its model, loaded again, or the reason why it is not that of the run.

    Args:
        provenance: of the results.
        folder: the result folder.
        asked: name of the results as the user typed it.
    """
    try:
        study = read_study(locate_study_file(provenance, folder=folder, asked=asked))
        problem = make_problem(study, load_evaluator(study))
    except ExplorerError as error:
        return f"the study cannot be loaded again ({error.problem.splitlines()[0]})"
    question, now = provenance.get("question"), study.declaration()
    if not isinstance(question, Mapping) or any(question.get(name) != value for name, value in now.items()):
        return f"{study.path} declares another problem than that of the run"
    changed = next(_model_changes(provenance.get("model"), problem), "")
    return changed.split(":")[0].split(";")[0] if changed else problem


def provenance_changes(provenance: Mapping[str, Any], problem: Problem) -> tuple[str, ...]:
    """Return the differences between this study and model and those of results, as sentences."""
    study, then = problem.study, _origin(provenance)
    question, now = provenance.get("question"), study.declaration()
    changes = []
    if not isinstance(question, Mapping):
        changes.append(
            "the results do not record the declaration of their study: changes since the run cannot be listed"
        )
    elif changed := [name for name in now if question.get(name) != now[name]]:
        changes.append(
            f"{study.path} declares another problem than that of the run: {', '.join(changed)} changed. "
            "The output below refers to the present file"
        )
    if then["sha256"] != study.sha256:
        which = "" if changes else ", although it declares the same problem"
        changes.append(
            f"{study.path} is not the file of the run{which} "
            f"(SHA-256 {then['sha256'][:_N_DIGITS] or 'unknown'} then, {study.sha256[:_N_DIGITS]} now)"
        )
    return (*changes, *_model_changes(provenance.get("model"), problem))


def _model_changes(recorded: object, problem: Problem) -> Iterator[str]:
    name = problem.evaluator.name
    then = recorded if isinstance(recorded, Mapping) else {}
    now = fingerprint(problem.evaluator)
    words = {"samples_sha256": "its samples", "forms": "its forms", "network_sha256": "its network",
             "data_sha256": "its data", "machine": "the machine"}  # fmt: skip
    changed = [words.get(key, key) for key in now if then.get(key) != now[key]]
    if changed:
        yield (
            f"model '{name}' is not that of the run: {' and '.join(changed)} changed; "
            "all numbers below are from the present model"
        )


def _origin(provenance: Mapping[str, Any]) -> dict[str, str]:
    recorded = provenance.get("study")
    fields = recorded if isinstance(recorded, Mapping) else {}
    return {key: str(fields.get(key) or "") for key in ("name", "file", "sha256")}


def _candidates(origin: Mapping[str, str], folder: Path, asked: str) -> Sequence[Path]:
    paths = [Path(origin["file"]), folder.parent.parent / origin["file"]] if origin["file"] else []
    for name in (asked, origin["name"]):
        try:
            paths.append(find_declaration("studies", name))
        except ExplorerError:
            continue
    return paths


def _sha256(path: Path) -> str:
    try:
        return sha256(read_text(path, max_bytes=MAX_DECLARATION_BYTES))
    except ExplorerError:
        return ""
