"""Studies: load, declare in Python, and run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from explorer.api.models import Samples, fit_model
from explorer.api.results import RESULTS_FOLDER, display_name
from explorer.errors import Interrupted, MeasurementFailed, WrongUsage
from explorer.io.files import cannot_write
from explorer.io.tables.frame import Table
from explorer.models.evaluation import Problem, make_problem
from explorer.models.loading import load_evaluator
from explorer.models.measured.function import Measure
from explorer.models.scaffold.names import ensure_name
from explorer.network.task.labelled_data import LabelledData
from explorer.pareto.results.folder import ensure_writable, write_folder
from explorer.pareto.results.results import Results, no_feasible_design
from explorer.pareto.uncertainty.annotate import annotate_uncertainty
from explorer.problem.study import Study, make_study, read_study
from explorer.report.pages.write import write_page
from explorer.search.collect import collect_results
from explorer.search.execution.adoption import ensure_adoptable
from explorer.search.fresh_start import is_changed, set_aside
from explorer.search.progress import Progress
from explorer.search.run import Execution, search, utc_now
from explorer.search.run_log import Clock, log_run
from explorer.search.session import SearchSession, open_session
from explorer.search.storage.journal import repair_tail
from explorer.search.storage.open import ensure_journal, journal_path, recover_journal
from explorer.search.storage.retry import translate_storage_errors
from explorer.search.storage.run_lock import run_lock
from explorer.search.trial_table import ADOPTED
from explorer.units import parse_quantity

__all__ = ["Outcome", "Problem", "Progress", "Study", "load_study", "repair_journal", "run", "study"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a run.

    Args:
        results: of all finished trials.
        out: the result folder.
        n_added: number of trials that this run measured or predicted.
        search_seconds: wall time of the search, in s.
        recovered_from: a copy of the damaged journal that was recovered.
        n_taken_over: number of trials that this run took over from earlier measurements.
    """

    results: Results
    out: Path
    n_added: int
    search_seconds: float
    recovered_from: Path | None = None
    n_taken_over: int = 0

    def __repr__(self) -> str:
        return f"Outcome({self.results!r}, {self.n_added} added in {self.search_seconds:.1f} s, in {self.out})"


def load_study(
    name: str | Path, *, measure: Measure | str | None = None, data: str | LabelledData | None = None
) -> Problem:
    """Load a study by name or path, with its model: ready to run, or to evaluate designs without a search.

    Args:
        name: its name or path.
        measure: for a study whose model is `{ measures = [...] }`: the function that measures a design, given its
            knobs by name (SI), or FILE.py:NAME.
        data: for a study whose model is a network: labelled data, an npz or `python:MODULE`; default: that of the file.

    Raises:
        WrongUsage: there is no such study or model.
        InvalidFile: a file is invalid; all of its faults at once.
    """
    declared = read_study(str(name))
    return make_problem(declared, load_evaluator(declared, measure=measure, data=data))


def study(
    *,
    objectives: Sequence[str],
    name: str = "study",
    samples: Table | Samples | Sequence[Table] | None = None,
    space: str | Path | Sequence[str] | Mapping[str, Any] | None = None,
    measure: Measure | str | None = None,
    data: str | LabelledData | None = None,
    knobs: Sequence[str] | None = None,
    **declared: Any,
) -> Problem:
    """Return a study declared in Python, ready to run; the keywords are the keys of a study file.

    Args:
        objectives: one or more columns to optimize.
        name: of the study; its results are written to `results/<name>/`.
        samples: the model is fitted to these: a CSV, a DataFrame, read samples, or a list of them.
        space: a search space by name or path, several, or the keys of a space file: `{"axes": {...}, ...}`.
        measure: the function that measures a design, with `model={"measures": [...]}`.
        data: labelled data, an npz or `python:MODULE`, with `model={"onnx": "net.onnx"}`.
        knobs: further columns of the samples that are knobs; default: the axes of the space that samples have.
        declared: further keys of a study file: `model`, `families`, `constraints`, `scenario`, `cost`, `workload`,
            `search`, `reference_point`.

    Raises:
        WrongUsage: there is no such space or model, or both `samples` and `model` are given.
        InvalidFile: the declaration or the samples are invalid; all faults at once.
    """
    ensure_name(name)
    if isinstance(objectives, str):
        raise WrongUsage("objectives is a text", fix=f"give a list: [{objectives!r}, ...]")
    if samples is not None and "model" in declared:
        raise WrongUsage("samples and model are both given", fix="give one of them")
    inline = {"space": dict(space)} if isinstance(space, Mapping) else {}
    names = (
        "space" if inline else space if space is None else str(space) if isinstance(space, (str, Path)) else list(space)
    )
    keys = {**({} if names is None else {"space": names}), **declared, "objectives": list(objectives)}
    if samples is None:
        declaration = make_study(keys, name=name, spaces=inline)
        return make_problem(declaration, load_evaluator(declaration, measure=measure, data=data))
    declaration = make_study({**keys, "model": "samples.csv"}, name=name, spaces=inline)
    own = [key for key in declaration.own_columns if key != "weight_bits"]
    fitted = fit_model(samples, knobs=own if knobs is None else knobs, ignore=[
        column for one in declaration.spaces for column in one.file.ignore
    ])  # fmt: skip
    return make_problem(replace(declaration, model="samples"), fitted)


def run(
    study: str | Path | Problem,
    *,
    trials: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    storage: str | None = None,
    measure: Measure | str | None = None,
    data: str | LabelledData | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    resources: Mapping[str, float] | None = None,
    upload: Sequence[str | Path] = (),
    time_limit: float | str | None = None,
    out: str | Path | None = None,
    recover: bool = False,
    wait: bool = False,
    take_from: str | Path | None = None,
    assume: Mapping[str, float | str] | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    clock: Clock = utc_now,
) -> Outcome:
    """Run or resume a study and write its result folder.

    Args:
        study: a study's name or path, or one already loaded.
        trials: number of COMPLETE trials wanted in all; default: the study's.
        seed: default: the study's. The same file and seed give the same front (with one worker).
        sampler: default: the study's.
        storage: any Optuna URL, or a journal file's path; default: a journal file in the result folder.
        measure: for a study whose model is `{ measures = [...] }`: the function that measures a design, given its
            knobs by name (SI), or FILE.py:NAME.
        data: for a study whose model is a network: labelled data, an npz or `python:MODULE`; default: that of the file.
        workers: number of isolated processes of this machine in which designs are measured; default: this process.
        cluster: address of a Dask scheduler (`tcp://HOST:8786`, `tls://...`) on whose workers designs are measured
            instead (extra `cluster`).
        resources: of a cluster's worker, for each design: {"board": 1} for one design at a time on each board.
        upload: files that the cluster's workers need.
        time_limit: for one design, in seconds or with a unit ("30 s"); a longer measurement is ended, retried up to
            three times, and given up. Without `workers` and `cluster` it implies one worker process.
        out: the result folder; default `results/<study>/`.
        recover: repair a damaged journal; the damaged file is kept.
        wait: where another run is at work in the folder, wait for it to end.
        take_from: a result folder, or a samples CSV, whose measurements are taken over as trials where they lie in the
            space and have the study's targets. The study's own folder is kept under another name if the question has
            changed.
        assume: values of knobs that these measurements lack: {"batch": 1}; numbers are SI, text may have a unit.
        fresh: begin again; the earlier result folder is kept under another name.
        progress: called after each batch of trials.
        say: called with notes for the user: workers that die, a storage that does not answer.
        clock: returns the time for provenance.

    Raises:
        StudyChanged: the folder holds trials of another question, and neither `take_from` nor `fresh` is given.
        WrongUsage, InvalidFile, MissingPart: an argument or a file cannot be used; nothing was lost.
        NoFeasibleDesign: no design meets the constraints; the result folder is written all the same.
        MeasurementFailed: designs are measured, and none of many in a row could be; the folder holds the finished ones.
        Interrupted: Ctrl-C; the result folder holds all finished trials.
        StorageUnavailable: the storage stopped answering; it holds all finished trials.
    """
    loaded = load_study(study, measure=measure, data=data) if isinstance(study, (str, Path)) else study
    wanted = loaded.study.with_search(trials=trials, seed=seed, sampler=sampler)
    seconds = parse_quantity(time_limit, "s") if isinstance(time_limit, str) else time_limit
    uploads = tuple(_existing(path) for path in upload)
    execution = Execution(workers, cluster, dict(resources or {}), uploads, seconds)
    folder = Path(out) if out is not None else RESULTS_FOLDER / wanted.name
    journal, problem = journal_path(storage, folder), replace(loaded, study=wanted)
    if journal is not None:
        ensure_journal(journal)
    ensure_writable(folder)
    if assume and take_from is None:
        raise WrongUsage("assumed knobs are given without earlier measurements", fix="add --from DIR (take_from)")
    source = None if take_from is None else _earlier(take_from)
    if source is not None:
        ensure_adoptable(problem, source, assume=assume or {})
    is_own = source is not None and folder.exists() and source.samefile(folder)
    if is_own and not fresh and not is_changed(problem, out=folder, storage=storage):
        say(f"note: the question of {folder} is the same: its trials count already")
        source = None
    elif fresh or is_own:
        kept = set_aside(problem, out=folder, storage=storage, notify=say)
        source = kept if is_own else source
    with run_lock(folder, storage, study=wanted.name, should_wait=wait, notify=say) as ensure_lock:
        recovered = recover_journal(journal) if recover and journal and journal.is_file() else None
        repair_journal(journal, say=say)
        session = open_session(problem, out=folder, storage_url=storage)
        session.ensure_lock = ensure_lock
        outcome = _search(session, execution, progress=progress, say=say, clock=clock, take_from=source, assume=assume)
        return replace(outcome, recovered_from=recovered)


def _earlier(name: str | Path) -> Path:
    """Return the result folder or the samples CSV of earlier measurements."""
    given = Path(name).expanduser()
    named = RESULTS_FOLDER / name
    return named if not given.exists() and named.is_dir() else given


def _existing(path: str | Path) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise WrongUsage(f"{file}: no such file to upload", fix="give the path of a file")
    return file


def repair_journal(journal: Path | None, *, say: Callable[[str], None]) -> None:
    """Cut off an incomplete record at a journal's end, which a killed writer left, and report it."""
    try:
        cut = repair_tail(journal) if journal and journal.is_file() else None
    except OSError as error:
        raise cannot_write(journal or Path(), error) from None
    if cut:
        say(
            f"the last write to {journal} was cut off by a crash; its {cut.stat().st_size} bytes are kept in {cut.name}"
        )


def _search(
    session: SearchSession,
    execution: Execution,
    *,
    progress: Progress | None,
    say: Callable[[str], None],
    clock: Clock,
    take_from: Path | None,
    assume: Mapping[str, float | str] | None,
) -> Outcome:
    with translate_storage_errors(session.storage_label):
        before, n_adopted = session.trials.n, _n_adopted(session)
    began = time.perf_counter()
    stopped: Interrupted | MeasurementFailed | None = None
    try:
        with log_run(session, clock=clock, execution=execution.as_json()):
            search(session, execution=execution, progress=progress, notify=say, take_from=take_from, assume=assume)
    except (Interrupted, MeasurementFailed) as error:
        stopped = error
    seconds = time.perf_counter() - began
    with translate_storage_errors(session.storage_label):
        results = annotate_uncertainty(collect_results(session), session.problem)
    write_folder(results, session.out)
    write_page(results, session.out / "report.html", display_name=display_name(results.study, session.out))
    if stopped:
        raise stopped
    if not results.is_front.any():
        raise no_feasible_design(results)
    n_taken = _n_adopted(session) - n_adopted
    return Outcome(results, session.out, results.n_complete - before - n_taken, seconds, n_taken_over=n_taken)


def _n_adopted(session: SearchSession) -> int:
    return int((session.trials.origin == ADOPTED).sum())
