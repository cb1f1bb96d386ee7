"""`explorer run`: run or resume a study."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.results import Results
    from explorer.api.studies import Outcome

Trials = Annotated[
    int | None, typer.Option("--trials", help="COMPLETE trials wanted in all.", show_default="the study's")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the search.", show_default="the study's")]
Sampler = Annotated[
    str | None,
    typer.Option("--sampler", help="auto, tpe, nsga2, nsga3, qmc, random, grid or gp.", show_default="the study's"),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", help="Any Optuna URL, or a journal file's path.", show_default="a journal file in --out"),
]
StudyName = Annotated[str, typer.Argument(help="A study's name (see `explorer list`), or the path of its TOML file.")]
Measured = Annotated[
    str | None, typer.Option("--measure", metavar="FILE.py:NAME", help="Your function that measures a design.")
]
Data = Annotated[
    str | None,
    typer.Option("--data", help="Labelled data of a study that measures a network.", show_default="the study's"),
]


def run(
    study: StudyName,
    trials: Trials = None,
    seed: Seed = None,
    sampler: Sampler = None,
    storage: Storage = None,
    measure: Measured = None,
    data: Data = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Measure N designs at a time, each in a process of its own."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="URL", help="Measure on the workers of a Dask scheduler: tcp://HOST:8786."),
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", metavar="NAME=N", help="Resources of a cluster's worker for each design: board=1."),
    ] = None,
    upload: Annotated[
        list[Path] | None, typer.Option("--upload", metavar="FILE", help="A file that the cluster's workers need.")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="T", help="For one design, such as '30 s' or '500 ms'.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Result folder.", show_default="results/<study>/")] = None,
    recover: Annotated[
        bool,
        typer.Option("--recover", help="Recover the whole records of a damaged journal; the damaged file is kept."),
    ] = False,
    take_from: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="DIR", help="Take over the measurements of a result folder or samples CSV."),
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option("--assume", metavar="KNOB=VALUE", help="With --from: a knob that those measurements lack."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew; the old result folder is kept under another name.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until another run in the folder has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")] = False,
) -> None:
    """Run or resume a study; write its front, its page and its provenance.

    A second run adds only the trials that are missing. Ctrl-C saves what has finished; the same command continues.
    After a change of objectives, limits, ranges or knobs, --from takes over what was measured.
    """
    from explorer import api
    from explorer.api.results import RESULTS_FOLDER
    from explorer.cli.console import note
    from explorer.cli.progress import search_progress
    from explorer.errors import ExplorerError, WrongUsage

    if take_from and len(take_from) > 1:
        raise WrongUsage("--from is given twice", fix="run the command once for each: their measurements add up")

    def attempt(earlier: str | None, *, is_fresh: bool) -> "Outcome":
        # Prints of the user's function are not data.
        with redirect_stdout(sys.stderr), search_progress() as (progress, say):
            return api.run(
                study,
                trials=trials,
                seed=seed,
                sampler=sampler,
                storage=storage,
                measure=measure,
                data=data,
                workers=workers,
                cluster=cluster,
                resources=_resources(resource or []),
                upload=upload or [],
                time_limit=time_limit,
                out=out,
                recover=recover,
                wait=wait,
                take_from=earlier,
                assume=dict(_pair("--assume", text) for text in assume or []),
                fresh=is_fresh,
                progress=progress,
                say=say,
            )

    try:
        outcome = _attempt_or_ask(attempt, take_from[0] if take_from else None, is_fresh=fresh)
    except ExplorerError as error:
        if error.exit_code in {4, 130}:
            folder = out or RESULTS_FOLDER / Path(study).stem
            if Path(folder).is_dir():  # else it failed before the first trial
                note(f"saved the finished trials in {folder}/")
        raise
    _print_outcome(outcome, as_json=as_json)


def _attempt_or_ask(attempt: "Callable[..., Outcome]", take_from: str | None, *, is_fresh: bool) -> "Outcome":
    """Run; where the question of the stored trials is another one, a user at a terminal decides what becomes of them.

    Raises:
        StudyChanged: the question changed, and the user does not decide to go on.
    """
    from explorer.errors import StudyChanged

    try:
        return attempt(take_from, is_fresh=is_fresh)
    except StudyChanged as error:
        is_terminal = sys.stdin.isatty() and sys.stderr.isatty()
        if not (error.folder and is_terminal and typer.confirm(error.question, default=True, err=True)):
            raise
        return attempt(error.folder if error.n_measured else take_from, is_fresh=not error.n_measured)


def _print_outcome(outcome: "Outcome", *, as_json: bool) -> None:
    from explorer.api.results import display_name
    from explorer.cli.console import note, print_json, print_prose

    results, folder = outcome.results, outcome.out
    _warn(results)
    if outcome.recovered_from:
        note(f"recovered the journal; the damaged file is kept as {outcome.recovered_from}")
    if not outcome.n_added:
        done = "COMPLETE already" if not outcome.n_taken_over else "COMPLETE with those taken over"
        note(f"nothing to add: {results.n_complete} trials are {done}; --trials N asks for more")
    for text in results.notes:
        note(f"note: {text}")
    front_size = int(results.is_front.sum())
    exact = results.exact
    if as_json:
        print_json(
            {
                "schema": "explorer.run/1",
                "study": results.study,
                "out": str(folder),
                "n_complete": results.n_complete,
                "n_added": outcome.n_added,
                "n_taken_over": outcome.n_taken_over,
                "hypervolume": results.hypervolume,
                "exact_hypervolume": exact.hypervolume if exact else None,
                "hypervolume_share": results.reached,
                "exact_convergence": exact.convergence if exact else None,
                "front_size": front_size,
                "n_measured": results.n_measured,
                "search_seconds": round(outcome.search_seconds, 3),
                "warnings": [dict(one) for one in results.model_warnings],
            },
            one_line=True,
        )
        return
    print_prose(
        f"{results.study}: {results.n_complete} trials ({_added(outcome)} in {outcome.search_seconds:.1f} s), "
        f"{front_size} {'design' if front_size == 1 else 'designs'} on the front{_measured_part(results)}, "
        f"hypervolume {results.hypervolume:.6g}"
    )
    if machine := results.provenance.get("machine"):
        print_prose(f"{'measured' if 'measurement' in results.provenance else 'samples measured'} on {machine}")
    for text in _certificate(results):
        print_prose(text)
    if results.advice:
        print_prose(results.advice)
    print_prose(f"{folder}/: report.html (open it in a browser), front.csv, front.json, trials.csv, provenance.json")
    rule = "--knee" if len(results.objectives) > 1 else f"--best {results.objectives[0].name}"
    note(f"next: explorer choose {shlex.quote(display_name(results.study, folder))} {rule}")


def _added(outcome: "Outcome") -> str:
    taken = f"{outcome.n_taken_over} taken over, " if outcome.n_taken_over else ""
    return f"{taken}{outcome.n_added} added"


def _measured_part(results: "Results") -> str:
    n = int((results.is_front & results.is_measured).sum())
    return f" ({n} of them measured)" if n else ""


def _resources(texts: list[str]) -> dict[str, float]:
    """Return amounts by name.

    Raises:
        WrongUsage: one is not NAME=N.
    """
    from explorer.errors import WrongUsage

    amounts = {}
    for text in texts:
        name, _, amount = text.partition("=")
        try:
            amounts[name.strip()] = float(amount)
        except ValueError:
            amounts[""] = 0.0
        if not name.strip() or not 0 < amounts.get(name.strip(), 0.0) < float("inf"):
            raise WrongUsage(f"--resource {text}: is not NAME=N", fix="write for example --resource board=1")
    return amounts


def _pair(option: str, text: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE.

    Raises:
        WrongUsage: it is not of this form.
    """
    from explorer.errors import WrongUsage

    name, equals, value = (part.strip() for part in text.partition("="))
    if not name or not equals or not value:
        raise WrongUsage(f"{option} {text}: is not KNOB=VALUE", fix=f"write for example {option} batch=1")
    return name, value


def _certificate(results: "Results") -> Iterator[str]:
    """Yield the share of the exact front that the search reached, and the certainty of the front."""
    exact = results.exact
    if exact is None and "measurement" in results.provenance:
        yield "every design was measured: there is no exact front to compare the search with"
        return
    if exact is None:
        yield "no exact front to compare with: it is of up to three objectives, of two where limits have a probability"
        return
    if exact.hypervolume == 0:
        yield "no design is better than the reference point in every objective: move it in the study's file"
        return
    how = "known exactly: all" if exact.convergence == 0 else f"known to {exact.convergence:.0e} from"
    yield (
        f"the search reached {results.reached:.1%} of the exact front's hypervolume ({exact.hypervolume:.6g}, {how} "
        f"{exact.n_evaluated:,} {'designs' if exact.convergence == 0 else 'evaluations'})"
    )
    if "certainty" in results.table:
        n_sure, n_possible, n_extrapolated = (results.n_labelled(word) for word in ("sure", "possible", "extrapolated"))
        far = f"; samples do not support {n_extrapolated}" if n_extrapolated else ""
        rows = f" ({results.n_measured} of them measured)" if results.n_measured else ""
        yield (
            f"{n_sure} of {results.n_designs} designs{rows} are on the front with a probability "
            f"of at least 95 % over forms and draws, {n_possible} possibly{far} (p_front in front.csv)"
        )


def _warn(results: "Results") -> None:
    from explorer.cli.console import note

    for warning in results.model_warnings:
        note(f"warning: {warning['text']}")
