"""Outputs: which files a command may replace, and the lock of a file that grows."""

import functools
import json
import os
from pathlib import Path

import pytest

from explorer.errors import WrongUsage
from explorer.io.file_lock import acquire_lock, file_lock
from explorer.io.files import append_line, write_text
from explorer.io.outputs import check_output
from tests.search.measured import disk_of

OURS = '{"schema": "explorer.model/3"}'


@pytest.mark.parametrize("spelling", ["s.csv", "./sub/../s.csv", "link.csv", "hard.csv"])
def test_an_input_is_never_replaced_under_any_name(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "s.csv").write_text(OURS)
    (tmp_path / "link.csv").symlink_to("s.csv")
    os.link(tmp_path / "s.csv", tmp_path / "hard.csv")
    with pytest.raises(WrongUsage, match="is read by this command"):
        check_output(tmp_path / spelling, kind="model", inputs=["paper", "gone.csv", tmp_path / "s.csv"], force=True)


def test_only_a_file_of_the_same_kind_is_replaced_without_force(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for content, is_allowed in ((OURS, True), ("", True), ('{"schema": "explorer.chosen/2"}', False), ("a,b", False)):
        path.write_text(content)
        if is_allowed:
            check_output(path, kind="model")
        else:
            with pytest.raises(WrongUsage, match="exists, and is no model"):
                check_output(path, kind="model")
            check_output(path, kind="model", force=True)
    check_output(tmp_path / "new.json", kind="model")
    check_output(Path("/dev/null"), kind="model", inputs=["/dev/null"])


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("real.json")
    write_text(tmp_path / "link.json", "x")

    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "x"


def test_a_failed_append_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    append_line(path, "first")
    with disk_of(10), pytest.raises(WrongUsage, match=r"rows.csv: cannot write"):
        append_line(path, "a longer second line")
    append_line(path, "third")

    assert path.read_text() == "first\nthird\n"


def test_a_second_lock_names_its_holder_and_none_is_left(tmp_path: Path) -> None:
    acquire = functools.partial(acquire_lock, noun="measurement", fix="wait", should_wait=False, notify=lambda _: None)
    path = tmp_path / ".s.csv.lock"
    for _ in range(2):
        with file_lock(path, acquire, label="s.csv", is_temporary=True):
            assert json.loads(path.read_text())["pid"] == os.getpid()
            with (
                pytest.raises(WrongUsage, match=f"s.csv: another measurement is active: process {os.getpid()} on "),
                file_lock(path, acquire, label="s.csv", is_temporary=True),
            ):
                pass
        assert not path.exists()
