"""Storages: the meaning of a URL, recovery of a damaged journal, and passwords that are never shown."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from explorer.errors import ExplorerError, InvalidFile, MissingPart, WrongUsage
from explorer.search.collect import collect_results
from explorer.search.run import search
from explorer.search.storage.open import JOURNAL_NAME, journal_path, open_storage, recover_journal, storage_label
from tests.search.conftest import MakeRun


@pytest.fixture
def journal(make_run: MakeRun, tmp_path: Path) -> Path:
    """Journal of a finished study of eight trials."""
    search(make_run(trials=8))
    return tmp_path / "out" / JOURNAL_NAME


@pytest.mark.parametrize("is_recovered", [False, True], ids=["cut by the next run", "recovered"])
@pytest.mark.parametrize("n_bytes", [1, 10, 40])
def test_half_a_record_is_kept_aside_and_the_study_goes_on(
    make_run: MakeRun, journal: Path, n_bytes: int, is_recovered: bool
) -> None:
    whole = journal.read_bytes()
    torn = whole[:-n_bytes]
    journal.write_bytes(torn)
    records, _, half = torn.rpartition(b"\n")
    records += b"\n"
    if is_recovered:
        kept = recover_journal(journal)
        assert kept is not None
        assert kept.read_bytes() == torn
        assert journal.read_bytes() == records
    added = search(make_run(trials=12))

    assert journal.read_bytes().startswith(records)
    assert collect_results(make_run()).n_complete == 12
    assert added in {4, 5}
    if not is_recovered:
        kept = journal.with_name("study.journal.cut1")
        if n_bytes == 1:  # all but its newline: nothing is lost
            assert added == 4
            assert journal.read_bytes().startswith(whole)
            assert not kept.exists()
        else:
            assert kept.read_bytes() == half


def test_a_second_recovery_keeps_the_first_damaged_file(journal: Path) -> None:
    before = journal.read_bytes()
    assert recover_journal(journal) is None  # a sound journal is left as it is
    assert journal.read_bytes() == before
    for _ in range(2):
        journal.write_bytes(journal.read_bytes()[:-5])
        recover_journal(journal)

    names = {path.name for path in journal.parent.iterdir() if path.name.startswith((".study", "study"))}
    assert names == {"study.journal", "study.journal.damaged1", "study.journal.damaged2"}


RECORDS = {
    b"{not json}\n": True, b"\xff\xfe\n": True, b"[]\n": True, b"7\n": True, b"null\n": True, b'"text"\n': True,
    b"{}\n": False, b'{"op_code": 99, "worker_id": "x"}\n': False,
}  # fmt: skip


@pytest.mark.parametrize(("record", "is_recoverable"), RECORDS.items())
def test_a_foreign_record_is_refused_and_recovered_where_possible(
    make_run: MakeRun, journal: Path, record: bytes, is_recoverable: bool
) -> None:
    journal.write_bytes(journal.read_bytes() + record)
    with pytest.raises(InvalidFile, match=r"study\.journal: (.|\n)*fix: (.|\n)*begin anew with --out DIR") as caught:
        search(make_run(trials=12))

    assert ("--recover" in str(caught.value)) == is_recoverable
    if is_recoverable:
        recover_journal(journal)
        assert search(make_run(trials=12)) == 4


def test_damage_in_the_middle_is_refused(make_run: MakeRun, journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") and json.loads(line) for line in lines)  # recovery counts on it
    lines[len(lines) // 2] = lines[len(lines) // 2][:20] + b"\n"
    journal.write_bytes(b"".join(lines))
    with pytest.raises(InvalidFile, match="has a record that cannot be read"):
        search(make_run(trials=12))


def test_an_empty_journal_is_a_new_study(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL_NAME).touch()

    assert search(make_run(trials=5)) == 5


def test_a_journal_that_cannot_be_written_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "out" / JOURNAL_NAME).mkdir(parents=True)
    message = r"study\.journal: cannot write: (.|\n)*fix: free disk space, allow writing, or choose another folder"
    with pytest.raises(WrongUsage, match=message):
        search(make_run())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, Path("out/study.journal")),
        ("trials.log", Path("trials.log")),
        ("/data/trials.log", Path("/data/trials.log")),
        ("journal:///data/trials.log", Path("/data/trials.log")),
        ("sqlite:///study.db", None),
        ("postgresql://user@host/name", None),
    ],
)
def test_a_storage_is_a_journal_by_path_or_a_database_by_url(url: str | None, expected: Path | None) -> None:
    assert journal_path(url, Path("out")) == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:sEcReT@host:5432/db", "postgresql://me:***@host:5432/db"),
        (
            "postgresql+psycopg://me:sEcReT@host/db?sslmode=require",
            "postgresql+psycopg://me:***@host/db?sslmode=require",
        ),
        ("mysql://:sEcReT@host/db", "mysql://:***@host/db"),
        ("postgresql://host/db?user=me&password=sEcReT", "postgresql://host/db?user=me&password=***"),
        ("postgresql://host/db?password=sEcReT&user=me", "postgresql://host/db?password=***&user=me"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_of_a_url_all_but_the_password_is_shown(url: str, shown: str) -> None:
    assert storage_label(url, Path("out")) == shown


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("nonsense://me:sEcReT@x", WrongUsage, r"is not a URL that Optuna can open\n  fix: "),
        ("://", WrongUsage, r"is not a URL that Optuna can open\n  fix: "),
        ("grpc://head:13000", WrongUsage, r"is a gRPC proxy: explorer writes from one process(.|\n)*fix: give the URL"),
        ("sqlite:///{}/nowhere/x.db", WrongUsage, "cannot be opened: .*unable to open database file"),
        ("sqlite:///{}/x.db", WrongUsage, "cannot be opened: .*not a database"),
        ("postgresql://me:sEcReT@localhost/db", MissingPart, r"pip install 'psycopg\[binary\]'"),
        pytest.param(
            "mysql://me:sEcReT@localhost/db", ExplorerError, "fix: pip install MySQLdb",
            marks=pytest.mark.skipif(find_spec("MySQLdb") is not None, reason="the driver is installed"),
        ),
    ],
)  # fmt: skip
def test_a_storage_that_cannot_be_opened_is_refused_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, error: type[ExplorerError], message: str
) -> None:
    (tmp_path / "x.db").write_text("this is text, and long enough to be read as a header" * 10, encoding="utf-8")
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(error, match=message) as caught:
        open_storage(url.format(tmp_path), tmp_path)

    assert caught.value.exit_code == (5 if "pip install" in message else 2)
    assert "sEcReT" not in str(caught.value)
