"""Opening storages: kinds of URL, recovery of a corrupt journal, masked passwords."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from explorer.errors import ExplorerError, InvalidFile, MissingPart, WrongUsage
from explorer.search.collect import collect_results
from explorer.search.run import search
from explorer.search.storage.open import JOURNAL_NAME, journal_path, open_storage, recover_journal, storage_label
from tests.search.conftest import MakeSession


@pytest.fixture
def journal(make_session: MakeSession, tmp_path: Path) -> Path:
    """Journal of a finished study of eight trials."""
    search(make_session(trials=8))
    return tmp_path / "out" / JOURNAL_NAME


@pytest.mark.parametrize("is_recovered", [False, True], ids=["cut by the next run", "recovered"])
@pytest.mark.parametrize("n_bytes", [1, 10, 40])
def test_partial_record_is_saved_and_the_study_resumes(
    make_session: MakeSession, journal: Path, n_bytes: int, is_recovered: bool
) -> None:
    whole = journal.read_bytes()
    torn = whole[:-n_bytes]
    journal.write_bytes(torn)
    records, _, half = torn.rpartition(b"\n")
    records += b"\n"
    if is_recovered:
        copy = recover_journal(journal)
        assert copy is not None
        assert copy.read_bytes() == torn
        assert journal.read_bytes() == records
    added = search(make_session(trials=12))

    assert journal.read_bytes().startswith(records)
    assert collect_results(make_session()).n_complete == 12
    assert added in {4, 5}
    if not is_recovered:
        copy = journal.with_name("study.journal.cut1")
        if n_bytes == 1:  # complete except for its newline
            assert added == 4
            assert journal.read_bytes().startswith(whole)
            assert not copy.exists()
        else:
            assert copy.read_bytes() == half


def test_second_recovery_preserves_the_first_damaged_file(journal: Path) -> None:
    before = journal.read_bytes()
    assert recover_journal(journal) is None  # an intact journal is not changed
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
def test_foreign_record_is_refused_and_recovered_if_possible(
    make_session: MakeSession, journal: Path, record: bytes, is_recoverable: bool
) -> None:
    journal.write_bytes(journal.read_bytes() + record)
    with pytest.raises(InvalidFile, match=r"study\.journal: (.|\n)*fix: (.|\n)*start a new study with --out") as caught:
        search(make_session(trials=12))

    assert ("--recover" in str(caught.value)) == is_recoverable
    if is_recoverable:
        recover_journal(journal)
        assert search(make_session(trials=12)) == 4


def test_corruption_in_the_middle_is_refused(make_session: MakeSession, journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") and json.loads(line) for line in lines)  # as recovery requires
    lines[len(lines) // 2] = lines[len(lines) // 2][:20] + b"\n"
    journal.write_bytes(b"".join(lines))
    with pytest.raises(InvalidFile, match="has a record that cannot be read"):
        search(make_session(trials=12))


def test_empty_journal_is_a_new_study(make_session: MakeSession, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL_NAME).touch()

    assert search(make_session(trials=5)) == 5


def test_unwritable_journal_is_refused(make_session: MakeSession, tmp_path: Path) -> None:
    (tmp_path / "out" / JOURNAL_NAME).mkdir(parents=True)
    message = r"study\.journal: cannot write: (.|\n)*fix: free disk space"
    with pytest.raises(WrongUsage, match=message):
        search(make_session())


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
def test_storage_argument_is_a_journal_path_or_database_url(url: str | None, expected: Path | None) -> None:
    assert journal_path(url, Path("out")) == expected


@pytest.mark.parametrize(
    ("url", "label"),
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
def test_storage_label_masks_the_password(url: str, label: str) -> None:
    assert storage_label(url, Path("out")) == label


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("nonsense://me:sEcReT@x", WrongUsage, r"is not a URL that Optuna can open\n  fix: "),
        ("://", WrongUsage, r"is not a URL that Optuna can open\n  fix: "),
        ("grpc://head:13000", WrongUsage, r"is a gRPC proxy(.|\n)*fix: give the URL"),
        ("sqlite:///{}/nowhere/x.db", WrongUsage, "cannot be opened: .*unable to open database file"),
        ("sqlite:///{}/x.db", WrongUsage, "cannot be opened: .*not a database"),
        ("postgresql://me:sEcReT@localhost/db", MissingPart, r"pip install 'psycopg\[binary\]'"),
        pytest.param(
            "mysql://me:sEcReT@localhost/db", ExplorerError, "fix: pip install MySQLdb",
            marks=pytest.mark.skipif(find_spec("MySQLdb") is not None, reason="the driver is installed"),
        ),
    ],
)  # fmt: skip
def test_storage_open_error_has_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, error: type[ExplorerError], message: str
) -> None:
    (tmp_path / "x.db").write_text("this is text, and long enough to be read as a header" * 10, encoding="utf-8")
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(error, match=message) as caught:
        open_storage(url.format(tmp_path), tmp_path)

    assert caught.value.exit_code == (5 if "pip install" in message else 2)
    assert "sEcReT" not in str(caught.value)
