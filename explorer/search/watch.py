"""Signs of life: a worker's own, stored while it measures, and those of workers on other machines.

No clock of another machine is trusted: a worker is silent while its count does not change, by the observer's own clock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from explorer.search.ledger import Ledger

BEAT_S = 5.0
GRACE_S = 60.0
"""How long a worker on another machine may be silent before its trial is taken for lost."""


_NEW = (object(), 0.0)  # nothing equals it


class Watch:
    """Who is alive, as far as one worker can tell.

    Args:
        ledger: where signs of life are kept.
        every: seconds between two of one's own, and between two looks at the others'.
        clock: tells seconds that only grow.
    """

    def __init__(self, ledger: Ledger, *, every: float = BEAT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._every, self._clock = ledger, every, clock
        self._tried: int | None = None
        self._count = 0
        self._looked = clock()
        self._silent: dict[int, tuple[Any, float]] = {}

    def trying(self, trial_id: int | None) -> None:
        """Say which trial is being tried from now on."""
        self._tried = trial_id

    def silence_of(self, trial_id: int) -> float:
        """Return for how many seconds nothing was heard of a RUNNING trial while one could have heard it."""
        return self._silent.get(trial_id, (None, 0.0))[1]

    def tick(self) -> None:
        """Give a sign of life, and look for those of others."""
        if (tried := self._tried) is not None:
            self._count += 1
            self._ledger.beat(tried, self._count)
        beats = dict(self._ledger.beats())
        # While the storage or this process was away nobody was heard: at most two intervals count.
        now = self._clock()
        passed = min(now - self._looked, 2 * self._every)
        self._looked = now
        before = self._silent
        self._silent = {
            trial_id: (beat, before[trial_id][1] + passed if before.get(trial_id, _NEW)[0] == beat else 0.0)
            for trial_id, beat in beats.items()
        }


@contextmanager
def watching(ledger: Ledger) -> Iterator[Watch]:
    """Watch in a thread of its own until the block ends."""
    watch, ended = Watch(ledger), threading.Event()

    def work() -> None:
        while not ended.wait(BEAT_S):
            # Whatever a storage says: it may be away for a while, and whoever ends a trial finds out what is wrong.
            with suppress(Exception):
                watch.tick()

    thread = threading.Thread(target=work, name="explorer-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join(timeout=BEAT_S)
