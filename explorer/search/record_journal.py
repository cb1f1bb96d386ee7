"""Recording a block into an Optuna journal: one line a trial, all lines in one write under the journal's lock."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from explorer.search.block import BLOCK_KEY, Unknown, earlier
from explorer.search.journal import SteadyJournal, append_whole
from explorer.search.record_sheet import Sheet, texts

_CREATE_STUDY, _CREATE_TRIAL = 0, 4


def write_journal(storage: JournalStorage, study_id: int, sheet: Sheet, *, is_retry: bool) -> Sequence[int]:
    """Append a block, all of it or nothing, and return the numbers that its trials have.

    Raises:
        OSError: the disk is full or cannot be written; the journal is as before.
        KeyError: the study is gone.
        Unknown: an earlier attempt went the public way.
    """
    with storage._thread_lock:
        storage._sync_with_backend()  # most of it before others have to wait
        with _locked(storage._backend):
            storage._sync_with_backend()
            replay = storage._replay_result
            replay.get_study(study_id)
            first = len(replay._study_id_to_trial_ids[study_id])
            if is_retry:
                trials = replay.get_all_trials(study_id, None)
                found = earlier(((t.number, t.system_attrs.get(BLOCK_KEY)) for t in trials), sheet.token)
                if found.singles:
                    raise Unknown("a block that was begun one by one")
                if found.first is not None:
                    return range(found.first, found.first + sheet.n)
            _append(storage._backend, lines(sheet, worker_id=replay.worker_id, study_id=study_id))
    # Trials are numbered in the order of their lines, and nobody else could append any.
    return range(first, first + sheet.n)


def lines(sheet: Sheet, *, worker_id: str, study_id: int) -> bytes:
    """Return a block's lines, as JournalStorage writes a finished trial."""
    head = _head(worker_id, study_id, sheet)
    middle = f'"datetime_complete":{_time(sheet.ended)},"distributions":{_compact(sheet.distributions)},"params":'
    columns = [_numbers(column) for column in sheet.values]
    if len(columns) == 1:
        values: Iterable[str] = (f'"value":{value},"values":null' for (value,) in zip(*columns, strict=True))
    else:
        values = (f'"value":null,"values":[{",".join(row)}]' for row in zip(*columns, strict=True))
    params = _objects({name: _numbers(column) for name, column in sheet.params.items()}, sheet.n)
    user, system = _objects(sheet.user_attrs, sheet.n), _objects(sheet.system_attrs, sheet.n)
    rows = zip(values, params, user, system, strict=True)
    return "".join(
        f'{head},{value},{middle}{row},"user_attrs":{own_user},"system_attrs":{own_system},"intermediate_values":{{}}}}\n'
        for value, row, own_user, own_system in rows
    ).encode()


def check_journal(storage: JournalStorage, specimens: Sequence[tuple[Sheet, FrozenTrial]]) -> None:
    """See that the installed Optuna writes trials into this storage's journal as `lines` does.

    Args:
        storage: where they are to be written; nothing is.
        specimens: blocks of one trial, each with the same trial.

    Raises:
        Unknown: it does not, or the storage is not one of the kinds that are known.
    """
    if type(storage._backend) not in {SteadyJournal, JournalFileBackend}:
        raise Unknown(f"a {type(storage._backend).__name__}")
    twin = JournalStorage(_Kept())
    directions = [StudyDirection.MINIMIZE] * 2
    study = {"op_code": _CREATE_STUDY, "worker_id": "", "study_name": "twin", "directions": directions}
    twin._backend.append_logs([study])
    for sheet, trial in specimens:
        twin.create_new_trial(0, template_trial=trial)
        (*_, theirs) = twin._backend.read_logs(0)
        worker_id = twin._replay_result.worker_id
        if json.loads(json.dumps(theirs)) != json.loads(lines(sheet, worker_id=worker_id, study_id=0)):
            raise Unknown("how the installed Optuna writes a trial into a journal")


class _Kept(BaseJournalBackend):
    """A journal in memory, to see what is written."""

    def __init__(self) -> None:
        self._logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += logs


@contextmanager
def _locked(backend: BaseJournalBackend) -> Iterator[None]:
    if isinstance(backend, SteadyJournal):
        with backend.locked():
            yield
    elif isinstance(backend, JournalFileBackend):
        backend._lock.acquire()
        try:
            yield
        finally:
            backend._lock.release()


def _append(backend: BaseJournalBackend, text: bytes) -> None:
    if isinstance(backend, SteadyJournal):
        backend.append(text)
    elif isinstance(backend, JournalFileBackend):
        append_whole(Path(backend._file_path), text, is_synced=True)  # as it does itself


def _head(worker_id: str, study_id: int, sheet: Sheet) -> str:
    head = {
        "op_code": _CREATE_TRIAL,
        "worker_id": worker_id,
        "study_id": study_id,
        "datetime_start": sheet.began.isoformat(timespec="microseconds"),
        "state": TrialState.COMPLETE,
    }
    return _compact(head).removesuffix("}")


def _time(moment: Any) -> str:
    return json.dumps(moment.isoformat(timespec="microseconds"))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _numbers(column: Sequence[float]) -> list[str]:
    return [str(text) for text in texts(column)]


def _objects(columns: Mapping[str, Sequence[str | None]], n: int) -> Iterator[str]:
    """Yield one JSON object a trial, without what it does not have."""
    if not columns:
        return iter(["{}"] * n)
    members = [
        [None if text is None else f"{key}:{text}" for text in column]
        for key, column in ((json.dumps(name), column) for name, column in columns.items())
    ]
    return (f"{{{','.join(filter(None, row))}}}" for row in zip(*members, strict=True))
