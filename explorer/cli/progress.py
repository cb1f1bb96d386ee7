"""Progress bars on stderr when it is a terminal."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from explorer.cli.console import note, stderr

if TYPE_CHECKING:
    from explorer.api.studies import Progress as SearchProgress

# A measured design may take minutes: over rich's default of 30 s the remaining time could not be estimated.
_SPEED_OVER_S = 3600.0


@contextmanager
def search_progress() -> Iterator[tuple["SearchProgress", Callable[[str], None]]]:
    """Show trials, the best hypervolume so far and the time left; nothing where stderr is no terminal.

    Yields:
        A callback for progress, and one for notes, which are printed above the bar.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = stderr()
    bar = Progress(
        TextColumn("searching"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[best]}"),
        TimeRemainingColumn(),
        speed_estimate_period=_SPEED_OVER_S,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("search", total=None, best="")

        def show(done: int, wanted: int, best_hypervolume: float) -> None:
            best = "" if math.isnan(best_hypervolume) else f"hypervolume {best_hypervolume:.5g}"
            bar.update(task, completed=done, total=wanted, best=best)

        yield show, lambda text: note(text, console=console)


@contextmanager
def counting_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yields a callback for the numbers of finished and of all steps."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = stderr()
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    is_hidden, period = not console.is_terminal, _SPEED_OVER_S
    with Progress(*columns, console=console, transient=True, disable=is_hidden, speed_estimate_period=period) as bar:
        task = bar.add_task(title, total=None)
        yield lambda n_done, n_all: bar.update(task, completed=n_done, total=n_all)
