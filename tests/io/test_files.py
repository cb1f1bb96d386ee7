"""Files: bounded reading and atomic writing."""

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
def test_text_round_trips_through_a_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "round.txt"
    write_text(path, text)

    assert read_text(path, max_bytes=1_000_000) == text


def test_missing_folders_are_created(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "x")

    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "x"


def test_failed_write_keeps_the_old_file_only(tmp_path: Path) -> None:
    """A lone surrogate cannot be encoded in UTF-8, which fails after the temporary file was created."""
    path = tmp_path / "front.csv"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        write_text(path, "new" * 100_000 + "\ud800")

    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "x")
        assert os.umask(0o027) == 0o027  # reading the umask did not change it
    finally:
        os.umask(before)

    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_unwritable_folder_raises_with_a_fix(tmp_path: Path) -> None:
    """Below a regular file not even root can create a folder."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(WrongUsage, match=r"file/sub/x: cannot write: .*\n  fix: .*--out"):
        write_text(tmp_path / "file" / "sub" / "x", "y")

    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


def test_folder_at_the_target_path_raises(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(WrongUsage, match="cannot write"):
        write_text(tmp_path / "x", "y")

    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b" \n\t\n", "the file is empty", id="blank"),
        pytest.param(b"\xef\xbb\xbf", "the file is empty", id="a byte order mark alone"),
        pytest.param(b"abc\xff", "byte 3: is not UTF-8", id="not UTF-8"),
        pytest.param("a = 1".encode("utf-16"), "byte 0: is not UTF-8", id="UTF-16"),
        pytest.param(b"x" * 1001, r"has 1,001 bytes\n  fix: keep it under 1,000 bytes", id="too large"),
    ],
)
def test_invalid_text_file_raises(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=rf"x\.toml: {message}") as caught:
        read_text(path, max_bytes=1000)

    assert caught.value.exit_code == 3


def test_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 1000)

    assert read_text(tmp_path / "x", max_bytes=1000) == "x" * 1000


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa = 1")

    assert read_text(tmp_path / "x", max_bytes=1000) == "a = 1"


@pytest.mark.parametrize(
    ("name", "message"), [("none", "no such file"), ("folder", "is not a file"), ("n" * 5000, "File name too long")]
)
def test_path_that_is_not_a_file_raises(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(WrongUsage, match=message) as caught:
        read_text(tmp_path / name, max_bytes=1000)

    assert caught.value.exit_code == 2


def test_sha256_of_text_is_that_of_its_utf8_bytes() -> None:
    assert sha256("Ω") == sha256("Ω".encode()) == hashlib.sha256(b"\xce\xa9").hexdigest()


@pytest.mark.parametrize("kind", ["studies", "search_spaces"])
def test_shipped_folder_has_declarations(kind: str) -> None:
    assert list(shipped_folder(kind).glob("*.toml"))


def test_a_pipe_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "text")

        assert os.read(reader, 10) == b"text"
        assert pipe.is_fifo()
    finally:
        os.close(reader)
