"""`explorer worker` and `explorer proxy`: one study on many machines."""

from typing import Annotated

import typer

from explorer.cli.run import Measured, Sampler, Seed, StudyName, Trials


def worker(
    study: StudyName,
    storage: Annotated[
        str,
        typer.Option(
            "--storage", metavar="URL", help="postgresql://..., grpc://HOST:PORT, or on one machine a journal's path."
        ),
    ],
    measure: Measured = None,
    trials: Trials = None,
    seed: Seed = None,
    sampler: Sampler = None,
    index: Annotated[
        int | None,
        typer.Option("--index", min=0, help="Which worker this is.", show_default="JOB_COMPLETION_INDEX, else random"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")] = False,
) -> None:
    """Be one more worker on a shared study, until it has enough trials; start as many as you like, whenever you like.

    The first one begins the study. No design is measured twice, and where a worker is killed another one tries its
    design again. `explorer run STUDY --storage URL`, on any machine, then collects the results.
    """
    from explorer import api
    from explorer.cli.console import note, print_json, print_text
    from explorer.cli.progress import work_progress

    with work_progress() as count:
        work = api.worker(
            study, storage=storage, trials=trials, seed=seed, sampler=sampler, measure=measure, index=index,
            count=count, say=note,
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "schema": "explorer.worker/1",
                "study": work.study,
                "storage": work.place,
                "index": work.index,
                "n_added": work.n_added,
                "n_complete": work.n_complete,
                "n_wanted": work.n_wanted,
                "seconds": round(work.seconds, 3),
            },
            one_line=True,
        )
        return
    print_text(
        f"{work.study}: {work.n_complete} of {work.n_wanted} trials are COMPLETE, {work.n_added} of them by this one, "
        f"index {work.index}, in {work.seconds:.1f} s; `explorer run` with the same storage collects them"
    )


def proxy(
    storage: Annotated[str, typer.Option("--storage", metavar="URL", help="The database behind it: postgresql://...")],
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 13000,
) -> None:
    """Stand between very many workers and one database: they use `--storage grpc://HOST:PORT`. Ctrl-C ends it."""
    from explorer import api
    from explorer.cli.console import note, print_text

    server = api.proxy(storage, host=host, port=port)
    print_text(server.url)
    note(f"serving {server.place}; Ctrl-C ends it")
    if not server.is_local:
        note(
            f"note: nothing is encrypted, nobody is asked for a password: whoever reaches {host} can change the studies"
        )
    server.serve()
