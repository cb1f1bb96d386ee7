"""Being one of many workers on a study that several machines share."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from explorer.api.place import RESULTS_FOLDER
from explorer.api.running import load, mend
from explorer.errors import WrongUsage
from explorer.models.assessment import Assessment
from explorer.models.function import Measure
from explorer.search.begin import prepare
from explorer.search.patience import told_as_lost
from explorer.search.proxy import Proxy, open_proxy
from explorer.search.run import Clock, search, utc_now
from explorer.search.run_log import logged_worker
from explorer.search.storage import journal_path

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
"""Where Kubernetes tells each pod of an indexed Job which one it is."""
_MOST_INDEX = 2**31


@dataclass(slots=True)
class Work:
    """What a worker did.

    Args:
        study: its name.
        place: where the trials are kept; no password in it.
        index: of the worker.
        n_complete: how many trials are COMPLETE, over all workers.
        n_wanted: how many are wanted.
        n_added: how many of them this worker has added.
        seconds: how long it worked.
    """

    study: str
    place: str
    index: int
    n_complete: int = 0
    n_wanted: int = 0
    n_added: int = 0
    seconds: float = 0.0

    def count(self, n_complete: int, n_wanted: int, n_added: int) -> None:
        """Take in how many there are now."""
        self.n_complete, self.n_wanted, self.n_added = n_complete, n_wanted, n_added


def worker(
    study: str | Assessment,
    *,
    storage: str,
    trials: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    measure: Measure | str | None = None,
    index: int | None = None,
    count: Callable[[int, int, int], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
    clock: Clock = utc_now,
) -> Work:
    """Work on a shared study until it has as many COMPLETE trials as are wanted, over all workers.

    Whoever comes first begins the study. No design is measured twice; where a worker is killed, another one tries its
    design again. `explorer run` with the same storage, on any machine, collects the results.

    Args:
        study: a study's name or path, or one already loaded.
        storage: a database's URL, a proxy's (`grpc://HOST:PORT`), or, on one machine, a journal file's path.
        trials: number of COMPLETE trials wanted in all, over all workers; default: the study's.
        seed: default: the study's; each worker draws its own numbers from it and its index.
        sampler: default: the study's.
        measure: for a study whose model is `{ measures = [...] }`: the function that measures a design, given its
            knobs by name (SI), or FILE.py:NAME.
        index: of this worker; default: that of a Kubernetes Job (JOB_COMPLETION_INDEX), else a random one.
        count: told after each design how many trials are COMPLETE, wanted, and added by this worker.
        say: told what happens: workers that are lost, a storage that is away.
        clock: tells the time.

    Raises:
        WrongUsage, InvalidFile, MissingPart: something asked for cannot be done; nothing was lost.
        MeasurementFailed: none of many designs in a row could be measured.
        Interrupted: Ctrl-C or SIGTERM, after the design at hand.
        StorageLost: the storage went away in the middle, and did not come back.
    """
    loaded = load(study, measure=measure) if isinstance(study, str) else study
    asked = loaded.study.with_search(trials=trials, seed=seed, sampler=sampler)
    folder = RESULTS_FOLDER / asked.name
    run = prepare(replace(loaded, study=asked), out=folder, storage_url=storage)
    work = Work(asked.name, run.place, index_of(index))

    def counted(n_complete: int, n_wanted: int, n_added: int) -> None:
        work.count(n_complete, n_wanted, n_added)
        count(n_complete, n_wanted, n_added)

    began = time.perf_counter()
    mend(journal_path(storage, folder), say=say)
    with told_as_lost(run.place):
        _ = run.study  # begun, or found: whoever is refused has not worked
    with logged_worker(run, index=work.index, n_added=lambda: work.n_added, clock=clock):
        search(run, worker=work.index, count=counted, say=say)
    work.seconds = time.perf_counter() - began
    return work


def proxy(storage: str, *, host: str = "127.0.0.1", port: int = 13000) -> Proxy:
    """Open a proxy between very many workers and one database; its `serve` answers until Ctrl-C.

    Args:
        storage: the database's URL.
        host: the address to listen on.
        port: the port; 0 takes a free one.

    Raises:
        WrongUsage: the storage cannot stand behind a proxy, or the address cannot be taken.
        MissingPart: gRPC (extra `grpc`) or the database's driver is not installed.
    """
    return open_proxy(storage, host=host, port=port)


def index_of(given: int | None) -> int:
    """Return a worker's index: the one given, that of its Kubernetes Job, or a random one.

    Raises:
        WrongUsage: it is none.
    """
    told = os.environ.get(INDEX_VARIABLE, "").strip() if given is None else str(given)
    if not told:
        return random.SystemRandom().randrange(_MOST_INDEX)
    if not told.isascii() or not told.isdigit() or int(told) >= _MOST_INDEX:
        name = INDEX_VARIABLE if given is None else "index"
        raise WrongUsage(f"{name} = {told} is no worker's index", fix="give a whole number from 0")
    return int(told)
