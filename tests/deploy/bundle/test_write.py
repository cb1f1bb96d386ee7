"""The bundle: the whole of it or nothing, the same from the same choice, with what was and what was not checked."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from explorer.api import deploy
from explorer.deploy.bundle import write as bundle
from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.bundle.write import write_bundle
from explorer.errors import WrongUsage
from explorer.io.declarations import read_json

Write = Callable[..., Path]
FILES = {"a.txt": b"one\n", "SHA256SUMS": b"0  a.txt\n"}


def test_predictions_and_objectives_carry_value_interval_and_unit(
    write: Write, payload: dict[str, Any], tmp_path: Path
) -> None:
    made, _ = deploy(write(), out=tmp_path / "b")

    design = payload["design"]
    latency = made.predicted["latency_s"]
    assert (latency.value, latency.lo, latency.hi, latency.unit) == (
        design["latency_s"], design["latency_s_lo"], design["latency_s_hi"], "s",
    )  # fmt: skip
    assert list(made.objectives) == ["edp_js", "accuracy"]
    assert [o.direction for o in made.objectives.values()] == ["minimize", "maximize"]
    assert "weighted_cost" not in made.predicted


def test_the_written_manifest_reads_back_as_what_was_made(write: Write, tmp_path: Path) -> None:
    made, done = deploy(write(), out=tmp_path / "b")

    assert read_json(done.folder / "manifest.json", ManifestFile, max_bytes=1_000_000) == made


def test_the_same_choice_gives_the_same_bytes_and_their_sums(write: Write, tmp_path: Path) -> None:
    path = write()
    _, one = deploy(path, out=tmp_path / "one")
    _, two = deploy(path, out=tmp_path / "two")

    for name in one.names:
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    for line in (one.folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        told, name = line.split("  ")
        assert hashlib.sha256((one.folder / name).read_bytes()).hexdigest() == told


def test_what_nobody_has_checked_is_said(write: Write, tmp_path: Path) -> None:
    made, done = deploy(write(), out=tmp_path / "b")

    page = (done.folder / "README.txt").read_text(encoding="utf-8")
    assert "What has NOT been checked:" in page
    assert all(text in page for text in made.not_checked)
    assert any("not measurements of your network" in text for text in made.not_checked)
    assert any("paper's ten samples" in text for text in made.not_checked)


def test_a_column_without_an_interval_says_so(write: Write, tmp_path: Path) -> None:
    made, done = deploy(write(lambda p: p["design"].update(latency_s_lo=None, latency_s_hi=None)), out=tmp_path / "b")

    assert made.predicted["latency_s"].lo is None
    assert "(no interval known)" in (done.folder / "README.txt").read_text(encoding="utf-8")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write_bytes", full)
    with pytest.raises(WrongUsage, match="No space left on device"):
        write_bundle(FILES, tmp_path / "b", force=False)

    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(FILES, tmp_path / "b", force=False)
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle({**FILES, "a.txt": b"two\n"}, tmp_path / "b", force=True)

    assert (tmp_path / "b/a.txt").read_text(encoding="utf-8") == "one\n"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_force_replaces_a_whole_bundle(tmp_path: Path) -> None:
    write_bundle({**FILES, "old.txt": b"", "SHA256SUMS": b"0  a.txt\n0  old.txt\n"}, tmp_path / "b", force=False)

    write_bundle(FILES, tmp_path / "b", force=True)

    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["SHA256SUMS", "a.txt"]


def test_force_never_replaces_a_folder_with_anything_else_in_it(tmp_path: Path) -> None:
    write_bundle(FILES, tmp_path / "b", force=False)
    (tmp_path / "b/notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(WrongUsage, match=r"holds what is not of one: notes\.txt\n  fix: .*move these away"):
        write_bundle(FILES, tmp_path / "b", force=True)
    assert (tmp_path / "b/notes.txt").exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_what_is_not_a_folder_is_never_replaced(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "b"
    if kind == "file":
        place.write_text("mine", encoding="utf-8")
    else:
        place.symlink_to(tmp_path if kind == "link" else tmp_path / "nowhere")

    with pytest.raises(WrongUsage, match="exists and is not a folder"):
        write_bundle(FILES, place, force=True)


def test_a_bundle_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_bundle(FILES, tmp_path / "b", force=False)
    finally:
        os.umask(umask)

    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "b/a.txt").stat().st_mode) == 0o644


def test_a_manifest_holds_json_only(write: Write, tmp_path: Path) -> None:
    _, done = deploy(write(), out=tmp_path / "b")

    text = (done.folder / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["schema"] == "explorer.deploy/1"
