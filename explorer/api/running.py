"""Loading a study and running it."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.api.place import RESULTS_FOLDER, place_of
from explorer.errors import Interrupted, MeasurementFailed, NoFeasibleDesign
from explorer.models.assessment import Assessment, assessment_of
from explorer.models.function import Measure
from explorer.models.store import load_evaluator
from explorer.pareto.certify import certify
from explorer.pareto.folder import write_folder
from explorer.pareto.notes import nearest_misses
from explorer.pareto.results import Results
from explorer.problem.study import load_study
from explorer.report.files import write_page
from explorer.search.begin import prepare
from explorer.search.collect import collect
from explorer.search.run import Clock, Progress, logged, search, utc_now
from explorer.search.storage import journal_path, recover_journal
from explorer.search.workers import search_in_parallel


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: its results, the folder, how many trials were added, the seconds of search, and any recovery."""

    results: Results
    out: Path
    n_added: int
    search_seconds: float
    recovered_from: Path | None = None


def load(study: str, *, measure: Measure | str | None = None) -> Assessment:
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
    return assessment_of(declared, load_evaluator(declared, measure=measure))


def run(
    study: str | Assessment,
    *,
    trials: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    storage: str | None = None,
    measure: Measure | str | None = None,
    workers: int = 1,
    out: str | Path | None = None,
    recover: bool = False,
    progress: Progress | None = None,
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
        workers: processes that search together.
        out: the result folder; default `results/<study>/`.
        recover: mend a journal whose last write was cut off; the damaged file is kept.
        progress: called after each batch of trials.
        clock: tells the time for provenance.

    Raises:
        WrongUsage, InvalidFile, MissingPart: something asked for cannot be done; nothing was lost.
        NoFeasibleDesign: no design meets the constraints; the result folder is written all the same.
        MeasurementFailed: designs are measured, and none of many in a row could be; the folder holds what was found.
        Interrupted: Ctrl-C; the result folder holds what was found so far.
    """
    loaded = load(study, measure=measure) if isinstance(study, str) else study
    asked = loaded.study.with_search(trials=trials, seed=seed, sampler=sampler)
    folder = Path(out) if out is not None else RESULTS_FOLDER / asked.name
    journal = journal_path(storage, folder)
    kept = recover_journal(journal) if recover and journal and journal.is_file() else None
    prepared = prepare(replace(loaded, study=asked), out=folder, storage_url=storage)
    before = prepared.tried.n
    began = time.perf_counter()
    stopped: Interrupted | MeasurementFailed | None = None
    try:
        with logged(prepared, clock=clock):
            if workers == 1:
                search(prepared, progress=progress)
            else:
                search_in_parallel(prepared, workers=workers, measure=measure, progress=progress)
    except (Interrupted, MeasurementFailed) as error:
        stopped = error
    seconds = time.perf_counter() - began
    results = certify(collect(prepared), prepared.assessment)
    write_folder(results, folder)
    write_page(results, folder / "report.html", place=place_of(results.study, folder))
    if stopped:
        raise stopped
    if not results.is_front.any():
        misses = "".join(f"\n  {line}" for line in nearest_misses(results.table, prepared.assessment))
        raise NoFeasibleDesign(
            f"none of {results.n_complete} designs meets every constraint{misses}",
            fix="loosen the constraint that is furthest from being met, or widen the space",
        )
    return Outcome(results, folder, results.n_complete - before, seconds, kept)
