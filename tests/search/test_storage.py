"""Storages: what an argument means, what is damaged and how it is mended, and that no password is shown."""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from explorer.errors import ExplorerError, InvalidFile, MissingPart, WrongUsage
from explorer.search.begin import Run
from explorer.search.collect import collect
from explorer.search.run import search
from explorer.search.storage import (
    JOURNAL_NAME,
    journal_path,
    open_storage,
    recover_journal,
    shown_url,
)

MakeRun = Callable[..., Run]
CUTS = [1, 10, 40]


@pytest.fixture
def journal(make_run: MakeRun, tmp_path: Path) -> Path:
    """The journal of a finished study of eight trials."""
    search(make_run(trials=8))
    return tmp_path / "out" / JOURNAL_NAME


@pytest.mark.parametrize("n_bytes", CUTS)
def test_half_a_record_that_a_killed_run_left_is_kept_aside_and_the_study_goes_on(
    make_run: MakeRun, journal: Path, n_bytes: int
) -> None:
    cut = journal.read_bytes()[:-n_bytes]
    journal.write_bytes(cut)
    whole, _, half = cut.rpartition(b"\n")
    added = search(make_run(trials=12))
    kept = journal.with_name("study.journal.cut1")

    assert journal.read_bytes().startswith(whole + b"\n")
    assert collect(make_run()).n_complete == 12
    if n_bytes == 1:  # all but its newline: nothing is lost
        assert journal.read_bytes().startswith(cut + b"\n")
        assert not kept.exists()
        assert added == 4
    else:
        assert kept.read_bytes() == half
        assert added in {4, 5}


@pytest.mark.parametrize("n_bytes", CUTS)
def test_a_recovered_journal_keeps_every_whole_record_and_the_damaged_file(
    make_run: MakeRun, journal: Path, n_bytes: int
) -> None:
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-n_bytes])
    kept = recover_journal(journal)

    assert kept is not None
    assert kept.read_bytes() == whole[:-n_bytes]
    recovered = journal.read_bytes()
    assert whole.startswith(recovered)
    assert recovered.count(b"\n") == whole[:-n_bytes].count(b"\n")
    assert search(make_run(trials=12)) in {4, 5}
    assert collect(make_run()).n_complete == 12


def test_a_second_damage_does_not_overwrite_the_first_copy(journal: Path) -> None:
    before = journal.read_bytes()
    assert recover_journal(journal) is None  # a sound journal is left as it is
    assert journal.read_bytes() == before
    for _ in range(2):
        journal.write_bytes(journal.read_bytes()[:-5])
        recover_journal(journal)

    names = {path.name for path in journal.parent.iterdir() if path.name.startswith((".study", "study"))}
    assert names == {"study.journal", "study.journal.damaged1", "study.journal.damaged2"}


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(b"{not json}\n", id="not JSON"),
        pytest.param(b"\xff\xfe\n", id="not UTF-8"),
        pytest.param(b"[]\n", id="a list"),
        pytest.param(b"7\n", id="a number"),
        pytest.param(b"null\n", id="null"),
        pytest.param(b'"text"\n', id="text"),
        pytest.param(b"{}\n", id="without an operation"),
        pytest.param(b'{"op_code": 99, "worker_id": "x"}\n', id="an unknown operation"),
    ],
)
def test_a_journal_with_a_foreign_record_is_refused_without_a_traceback(
    make_run: MakeRun, journal: Path, record: bytes
) -> None:
    journal.write_bytes(journal.read_bytes() + record)
    with pytest.raises(InvalidFile, match=r"study\.journal: (.|\n)*fix: "):
        search(make_run(trials=12))


@pytest.mark.parametrize("record", [b"{not json}\n", b"7\n", b'{"op_code": 99, "worker_id": "x"}\n'])
def test_recovering_is_advised_only_where_it_helps(make_run: MakeRun, journal: Path, record: bytes) -> None:
    journal.write_bytes(journal.read_bytes() + record)
    with pytest.raises(InvalidFile, match="begin anew with --out DIR") as caught:
        search(make_run(trials=12))
    recover_journal(journal)

    if "--recover" in str(caught.value):
        assert search(make_run(trials=12)) == 4


def test_damage_in_the_middle_is_refused(make_run: MakeRun, journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = lines[len(lines) // 2][:20] + b"\n"
    journal.write_bytes(b"".join(lines))
    with pytest.raises(InvalidFile, match="has a record that cannot be read"):
        search(make_run(trials=12))


def test_an_empty_journal_is_a_new_study(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL_NAME).touch()

    assert search(make_run(trials=5)) == 5


def test_a_place_that_cannot_be_written_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """Below a regular file: not even root can make a folder there."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "out" / JOURNAL_NAME).mkdir(parents=True)
    with pytest.raises(WrongUsage, match=r"cannot write: (.|\n)*fix: free the place or choose another folder"):
        search(make_run(folder="file/out"))
    with pytest.raises(WrongUsage, match=r"study\.journal: cannot write"):
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
def test_a_storage_argument_means_a_journal_or_a_database(url: str | None, expected: Path | None) -> None:
    assert journal_path(url, Path("out")) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sEcReT@host:5432/db",
        "postgresql+psycopg://me:sEcReT@host/db?sslmode=require",
        "mysql://:sEcReT@host/db",
        "postgresql://host/db?user=me&password=sEcReT",
        "postgresql://host/db?password=sEcReT&user=me",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    shown = shown_url(url, Path("out"))

    assert "sEcReT" not in shown
    assert "host" in shown


def test_what_has_no_password_is_shown_as_it_is() -> None:
    urls = ["sqlite:///a.db", "postgresql://me@host/db", "postgresql://host/db"]
    assert [shown_url(url, Path("out")) for url in urls] == urls


@pytest.mark.parametrize("url", ["nonsense://me:sEcReT@x", "://"])
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(WrongUsage, match=r"is not a URL that Optuna can open\n  fix: ") as caught:
        open_storage(url, Path("out"))

    assert "sEcReT" not in str(caught.value)


def test_a_database_that_cannot_be_opened_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is text, and long enough to be read as a header" * 10, encoding="utf-8")
    with pytest.raises(WrongUsage, match=r"cannot be opened: .*unable to open database file"):
        open_storage(f"sqlite:///{tmp_path}/nowhere/x.db", tmp_path)
    with pytest.raises(WrongUsage, match=r"cannot be opened: .*not a database"):
        open_storage(f"sqlite:///{tmp_path}/x.db", tmp_path)


def test_a_missing_driver_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(MissingPart, match=r"pip install 'explorer\[postgresql\]'") as caught:
        open_storage("postgresql://me:sEcReT@localhost/db", tmp_path)

    assert caught.value.exit_code == 5
    assert "sEcReT" not in str(caught.value)


@pytest.mark.skipif(find_spec("MySQLdb") is not None, reason="the driver is installed")
def test_a_driver_that_no_extra_installs_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match=r"fix: pip install MySQLdb") as caught:
        open_storage("mysql://me@localhost/db", tmp_path)

    assert caught.value.exit_code == 5


def test_a_proxy_is_answered_with_the_way_to_the_database(tmp_path: Path) -> None:
    with pytest.raises(
        WrongUsage, match=r"is a gRPC proxy: explorer writes from one process(.|\n)*fix: give the URL of"
    ):
        open_storage("grpc://head:13000", tmp_path)


def test_each_record_of_our_journal_is_one_line_of_json(journal: Path) -> None:
    """Recovery counts on it."""
    lines = journal.read_bytes().splitlines(keepends=True)

    assert all(line.endswith(b"\n") and json.loads(line) for line in lines)
