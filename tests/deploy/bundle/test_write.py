"""Writing of a bundle: atomic, deterministic, with a strict manifest and a list of unchecked assumptions."""

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
    manifest, _ = deploy(write(), out=tmp_path / "b")

    design = payload["design"]
    latency = manifest.predicted["latency_s"]
    assert (latency.value, latency.lo, latency.hi, latency.unit) == (
        design["latency_s"], design["latency_s_lo"], design["latency_s_hi"], "s",
    )  # fmt: skip
    assert list(manifest.objectives) == ["edp_js", "accuracy"]
    assert [o.direction for o in manifest.objectives.values()] == ["minimize", "maximize"]
    assert "weighted_cost" not in manifest.predicted


def test_manifest_round_trips(write: Write, tmp_path: Path) -> None:
    manifest, written = deploy(write(), out=tmp_path / "b")

    assert read_json(written.folder / "manifest.json", ManifestFile, max_bytes=1_000_000) == manifest


def test_bundle_is_deterministic_with_valid_checksums(write: Write, tmp_path: Path) -> None:
    path = write()
    _, one = deploy(path, out=tmp_path / "one")
    _, two = deploy(path, out=tmp_path / "two")

    for name in one.names:
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    for line in (one.folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((one.folder / name).read_bytes()).hexdigest() == digest


def test_readme_lists_unchecked_assumptions(write: Write, tmp_path: Path) -> None:
    manifest, written = deploy(write(), out=tmp_path / "b")

    page = (written.folder / "README.txt").read_text(encoding="utf-8")
    assert "What has NOT been checked:" in page
    assert all(text in page for text in manifest.not_checked)
    assert any("not measurements of your network" in text for text in manifest.not_checked)
    assert any("paper's ten samples" in text for text in manifest.not_checked)


def test_prediction_without_an_interval_is_marked(write: Write, tmp_path: Path) -> None:
    manifest, written = deploy(
        write(lambda p: p["design"].update(latency_s_lo=None, latency_s_hi=None)), out=tmp_path / "b"
    )

    assert manifest.predicted["latency_s"].lo is None
    assert "(no interval known)" in (written.folder / "README.txt").read_text(encoding="utf-8")


def test_failed_write_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write_bytes", full)
    with pytest.raises(WrongUsage, match="No space left on device"):
        write_bundle(FILES, tmp_path / "b", force=False)

    assert list(tmp_path.iterdir()) == []


def test_interrupted_replacement_keeps_the_previous_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_force_replaces_a_complete_bundle(tmp_path: Path) -> None:
    write_bundle({**FILES, "old.txt": b"", "SHA256SUMS": b"0  a.txt\n0  old.txt\n"}, tmp_path / "b", force=False)

    write_bundle(FILES, tmp_path / "b", force=True)

    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["SHA256SUMS", "a.txt"]


def test_force_does_not_replace_a_folder_with_other_files(tmp_path: Path) -> None:
    write_bundle(FILES, tmp_path / "b", force=False)
    (tmp_path / "b/notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(WrongUsage, match=r"has other files: notes\.txt\n  fix: .*move these files"):
        write_bundle(FILES, tmp_path / "b", force=True)
    assert (tmp_path / "b/notes.txt").exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_path_that_is_not_a_folder_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "b"
    if kind == "file":
        path.write_text("mine", encoding="utf-8")
    else:
        path.symlink_to(tmp_path if kind == "link" else tmp_path / "nowhere")

    with pytest.raises(WrongUsage, match="exists and is not a folder"):
        write_bundle(FILES, path, force=True)


def test_bundle_permissions_follow_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_bundle(FILES, tmp_path / "b", force=False)
    finally:
        os.umask(umask)

    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "b/a.txt").stat().st_mode) == 0o644


def test_manifest_is_strict_json(write: Write, tmp_path: Path) -> None:
    _, written = deploy(write(), out=tmp_path / "b")

    text = (written.folder / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["schema"] == "explorer.deploy/1"
