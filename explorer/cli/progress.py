"""The progress bar of a search, on stderr, where somebody is there to see it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from explorer.cli.console import stderr

if TYPE_CHECKING:
    from explorer.search.run import Progress as SearchProgress


@contextmanager
def search_progress() -> Iterator["SearchProgress"]:
    """Show trials, the best hypervolume so far and the time left; nothing where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = stderr()
    bar = Progress(
        TextColumn("searching"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[best]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("search", total=None, best="")

        def show(done: int, wanted: int, best_hypervolume: float) -> None:
            best = "" if math.isnan(best_hypervolume) else f"hypervolume {best_hypervolume:.5g}"
            bar.update(task, completed=done, total=wanted, best=best)

        yield show
