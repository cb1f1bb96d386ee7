"""`explorer paper` as it is typed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from explorer.paper.audit.statements import audit
from explorer.paper.tables import shipped_text

NO_BROWSER = {"BROWSER_PATH": "/no/such/browser"}


def explorer(*words: str, cwd: Path, env: Mapping[str, str] = NO_BROWSER) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "explorer", *words],
        cwd=cwd, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_paper_prints_tables_and_audit_and_writes_the_page(tmp_path: Path) -> None:
    done = explorer("paper", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Table 1" in done.stdout
    assert "Table 2" in done.stdout
    assert "disagrees    Abstract, 4.6, V" in done.stdout
    assert "results/paper-audit/paper.html" in done.stderr
    assert sorted(path.name for path in (tmp_path / "results/paper-audit").iterdir()) == ["paper.html", "paper.json"]


@pytest.mark.slow
def test_without_a_browser_the_audit_notes_missing_images(tmp_path: Path) -> None:
    done = explorer("paper", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0
    assert "note: no PNG or SVG of the figures: no browser could draw the images" in done.stderr
    assert "fix: install Chrome or Chromium" in done.stderr


@pytest.mark.slow
def test_json_is_all_that_json_prints_and_nothing_is_written(tmp_path: Path) -> None:
    done = explorer("paper", "--json", cwd=tmp_path)
    payload = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert payload["schema"] == "explorer.paper/1"
    assert [tuple(claim) for claim in payload["claims"]] == [
        ("id", "section", "statement", "computed", "verdict"),
    ] * len(audit())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_json_with_a_folder_writes_the_same_json_there(tmp_path: Path) -> None:
    done = explorer("paper", "--json", "-o", "here", cwd=tmp_path)
    written = json.loads((tmp_path / "here/paper.json").read_text(encoding="utf-8"))
    assert written == json.loads(done.stdout)
    assert (tmp_path / "here/paper.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_a_changed_table_changes_the_verdicts(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(shipped_text().replace("0.87,9.4,0.94", "0.87,9.8,0.98"), encoding="utf-8")
    done = explorer("paper", "--json", "--table", "mine.csv", cwd=tmp_path)
    after = {claim["id"]: claim["verdict"] for claim in json.loads(done.stdout)["claims"]}
    changed = {claim.id: after[claim.id] for claim in audit() if after[claim.id] != claim.verdict}
    assert changed == {"edp-lowest": "agrees"}


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        pytest.param(None, 2, "mine.csv: no such file\n  fix: ", id="no-file"),
        pytest.param("", 3, "mine.csv: the file is empty\n  fix: ", id="empty"),
        pytest.param(
            shipped_text().replace("22.5", "much"), 3, "sample 1, total_energy_j: 'much' is not a number", id="word"
        ),
        pytest.param("a,b\n1,2\n", 3, "unknown column 'a'", id="another-table"),
    ],
)
@pytest.mark.slow
def test_a_bad_table_prints_no_traceback(tmp_path: Path, text: str | None, status: int, message: str) -> None:
    if text is not None:
        (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    done = explorer("paper", "--table", "mine.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("in the way")
    done = explorer("paper", "-o", "here", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_needs_no_heavy_library(tmp_path: Path) -> None:
    done = explorer("paper", "--help", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert "typer" in loaded
    assert loaded & {"plotly", "kaleido", "pandas", "scipy", "optuna", "numpy"} == set()
