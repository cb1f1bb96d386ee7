"""Files: bounded reading, and writing in one step or not at all."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import InvalidFile, WrongUsage
from explorer.io.files import read_text, sha256, shipped_folder, write_text

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda t: t.strip() and not t.startswith("\ufeff"))


@given(text=TEXTS)
def test_what_is_written_is_read_to_the_last_character(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "round.txt"
    write_text(path, text)

    assert read_text(path, max_bytes=1_000_000) == text


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "x")

    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "x"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A lone surrogate cannot be encoded: the failure comes in the middle of writing."""
    path = tmp_path / "front.csv"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        write_text(path, "new" * 100_000 + "\ud800")

    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_may_be_read_by_whoever_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "x")
        assert os.umask(0o027) == 0o027  # asking for it did not change it
    finally:
        os.umask(before)

    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """Below a regular file: not even root can write there."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(WrongUsage, match=r"file/sub/x: cannot write: .*\n  fix: .*--out"):
        write_text(tmp_path / "file" / "sub" / "x", "y")

    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


def test_a_folder_in_the_place_of_the_file_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "x" / "kept").mkdir(parents=True)
    with pytest.raises(WrongUsage, match="cannot write"):
        write_text(tmp_path / "x", "y")

    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b" \n\t\n", "the file is empty", id="blank"),
        pytest.param(b"\xef\xbb\xbf", "the file is empty", id="a byte order mark alone"),
        pytest.param(b"abc\xff", "byte 3: is not UTF-8", id="not UTF-8"),
        pytest.param("a = 1".encode("utf-16"), "byte 0: is not UTF-8", id="UTF-16"),
        pytest.param(b"x" * 1001, r"has 1,001 bytes\n  fix: keep it under 1,000 bytes", id="too large"),
    ],
)
def test_a_file_that_cannot_be_text_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=rf"x\.toml: {told}") as caught:
        read_text(path, max_bytes=1000)

    assert caught.value.exit_code == 3


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 1000)

    assert read_text(tmp_path / "x", max_bytes=1000) == "x" * 1000


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa = 1")

    assert read_text(tmp_path / "x", max_bytes=1000) == "a = 1"


@pytest.mark.parametrize(
    ("name", "told"), [("none", "no such file"), ("folder", "is not a file"), ("n" * 5000, "File name too long")]
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(WrongUsage, match=told) as caught:
        read_text(tmp_path / name, max_bytes=1000)

    assert caught.value.exit_code == 2


def test_a_hash_is_that_of_the_utf8_bytes() -> None:
    assert sha256("Ω") == sha256("Ω".encode()) == hashlib.sha256(b"\xce\xa9").hexdigest()


@pytest.mark.parametrize("kind", ["studies", "search_spaces"])
def test_what_ships_is_found(kind: str) -> None:
    assert list(shipped_folder(kind).glob("*.toml"))
