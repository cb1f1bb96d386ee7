"""Loading a study and running it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.api.results import RESULTS_FOLDER, display_name
from explorer.errors import Interrupted, MeasurementFailed, WrongUsage
from explorer.io.files import cannot_write
from explorer.models.evaluation import Problem, make_problem
from explorer.models.loading import load_evaluator
from explorer.models.measured.function import Measure
from explorer.pareto.results.folder import write_folder
from explorer.pareto.results.results import Results, no_feasible_design
from explorer.pareto.uncertainty.annotate import annotate_uncertainty
from explorer.problem.study import load_study
from explorer.report.pages.write import write_page
from explorer.search.collect import collect
from explorer.search.progress import Progress
from explorer.search.run import Execution, search, utc_now
from explorer.search.run_log import Clock, logged
from explorer.search.session import SearchSession, open_session
from explorer.search.storage.journal import repair_tail
from explorer.search.storage.open import journal_path, recover_journal
from explorer.search.storage.retry import translate_storage_errors
from explorer.search.storage.run_lock import run_lock
from explorer.units import parse_quantity


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did.

    Args:
        results: what it found.
        out: the result folder.
        n_added: how many trials were added.
        search_seconds: how long the search took.
        recovered_from: the damaged journal that was recovered, kept beside it.
    """

    results: Results
    out: Path
    n_added: int
    search_seconds: float
    recovered_from: Path | None = None


def load_problem(study: str, *, measure: Measure | str | None = None) -> Problem:
    """Load a study by name or path, with its model: ready to run, or to assess designs without searching.

    Args:
        study: its name or path.
        measure: for a study whose model is `{ measures = [...] }`: the function that measures a design, given its
            knobs by name (SI), or FILE.py:NAME.

    Raises:
        WrongUsage: there is no such study or model.
        InvalidFile: a file is not what it should be; all of its faults at once.
    """
    declared = load_study(study)
    return make_problem(declared, load_evaluator(declared, measure=measure))


def run(
    study: str | Problem,
    *,
    trials: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    storage: str | None = None,
    measure: Measure | str | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    resources: Mapping[str, float] | None = None,
    upload: Sequence[str | Path] = (),
    time_limit: float | str | None = None,
    out: str | Path | None = None,
    recover: bool = False,
    wait: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    clock: Clock = utc_now,
) -> Outcome:
    """SearchSession or resume a study and write its result folder.

    Args:
        study: a study's name or path, or one already loaded.
        trials: number of COMPLETE trials wanted in all; default: the study's.
        seed: default: the study's. The same file and seed give the same front (with one worker).
        sampler: default: the study's.
        storage: any Optuna URL, or a journal file's path; default: a journal file in the result folder.
        measure: for a study whose model is `{ measures = [...] }`: the function that measures a design, given its
            knobs by name (SI), or FILE.py:NAME.
        workers: number of isolated processes of this machine in which designs are measured; default: this process.
        cluster: address of a Dask scheduler (`tcp://HOST:8786`, `tls://...`) on whose workers designs are measured
            instead (extra `cluster`).
        resources: what each design takes of a cluster's worker: {"board": 1} for one design at a time on each board.
        upload: files that the cluster's workers need.
        time_limit: for one design, in seconds or with a unit ("30 s"); who takes longer is ended, tried again up to
            three times, and given up. Without `workers` and `cluster` it implies one worker process.
        out: the result folder; default `results/<study>/`.
        recover: mend a damaged journal; the damaged file is kept.
        wait: where another run is at work in the folder, wait for it to end.
        progress: called after each batch of trials.
        say: told what a user should know: workers that die, a storage that is away.
        clock: tells the time for provenance.

    Raises:
        WrongUsage, InvalidFile, MissingPart: something asked for cannot be done; nothing was lost.
        NoFeasibleDesign: no design meets the constraints; the result folder is written all the same.
        MeasurementFailed: designs are measured, and none of many in a row could be; the folder holds what was found.
        Interrupted: Ctrl-C; the result folder holds what was found so far.
        StorageLost: the storage went away in the middle, and did not come back; it holds all that was told.
    """
    loaded = load_problem(study, measure=measure) if isinstance(study, str) else study
    asked = loaded.study.with_search(trials=trials, seed=seed, sampler=sampler)
    seconds = parse_quantity(time_limit, "s") if isinstance(time_limit, str) else time_limit
    uploads = tuple(_existing(path) for path in upload)
    execution = Execution(workers, cluster, dict(resources or {}), uploads, seconds)
    folder = Path(out) if out is not None else RESULTS_FOLDER / asked.name
    journal = journal_path(storage, folder)
    with run_lock(folder, storage, study=asked.name, is_patient=wait, say=say) as ensure_lock:
        kept = recover_journal(journal) if recover and journal and journal.is_file() else None
        repair_journal(journal, say=say)
        prepared = open_session(replace(loaded, study=asked), out=folder, storage_url=storage)
        prepared.ensure_lock = ensure_lock
        found = _searched(prepared, execution, progress=progress, say=say, clock=clock)
        return replace(found, recovered_from=kept)


def _existing(path: str | Path) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        raise WrongUsage(f"{found}: no such file to upload", fix="give the path of a file")
    return found


def repair_journal(journal: Path | None, *, say: Callable[[str], None]) -> None:
    """Cut off the half record that a killed writer left at a journal's end, and tell of it."""
    try:
        cut = repair_tail(journal) if journal and journal.is_file() else None
    except OSError as error:
        raise cannot_write(journal or Path(), error) from None
    if cut:
        say(
            f"the last write to {journal} was cut off by a crash; its {cut.stat().st_size} bytes are kept in {cut.name}"
        )


def _searched(
    prepared: SearchSession,
    execution: Execution,
    *,
    progress: Progress | None,
    say: Callable[[str], None],
    clock: Clock,
) -> Outcome:
    with translate_storage_errors(prepared.place):
        before = prepared.tried.n
    began = time.perf_counter()
    stopped: Interrupted | MeasurementFailed | None = None
    try:
        with logged(prepared, clock=clock, execution=execution.as_json()):
            search(prepared, execution=execution, progress=progress, notify=say)
    except (Interrupted, MeasurementFailed) as error:
        stopped = error
    seconds = time.perf_counter() - began
    with translate_storage_errors(prepared.place):
        results = annotate_uncertainty(collect(prepared), prepared.problem)
    write_folder(results, prepared.out)
    write_page(results, prepared.out / "report.html", place=display_name(results.study, prepared.out))
    if stopped:
        raise stopped
    if not results.is_front.any():
        raise no_feasible_design(results)
    return Outcome(results, prepared.out, results.n_complete - before, seconds)
