"""The progress bar of a search, on stderr, where somebody is there to see it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from explorer.cli.console import stderr


@contextmanager
def search_progress() -> Iterator[Callable[[int, int, float], None]]:
    """Show done and wanted trials, the best hypervolume so far, and the time left; nothing where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = stderr()
    bar = Progress(
        TextColumn("searching"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[best]}"),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("search", total=None, best="")

        def show(done: int, wanted: int, best_hypervolume: float) -> None:
            best = "" if math.isnan(best_hypervolume) else f"hypervolume {best_hypervolume:.5g}"
            bar.update(task, completed=done, total=wanted, best=best)

        yield show
