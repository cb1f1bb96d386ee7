"""The lock of a run: held by one at a time, released however its holder ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.errors import WrongUsage
from explorer.search.run_lock import LOCK_NAME, run_lock
from tests.search.measured import environment

HOLD = """\
import pathlib, sys, time
from explorer.search.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1]), None):
    print("held", flush=True)
    time.sleep(60)
"""


def test_who_comes_second_hears_who_holds_it(tmp_path: Path) -> None:
    with (
        run_lock(tmp_path, None),
        pytest.raises(WrongUsage, match=rf"another run is at work here: process {os.getpid()} on .*, since 20") as told,
        run_lock(tmp_path, None),
    ):
        pass

    assert told.value.exit_code == 2
    assert "--wait" in told.value.fix


def test_it_is_free_again_after_its_holder_was_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], env=environment(), stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(WrongUsage, match=f"process {holder.pid} "), run_lock(tmp_path, None):
        pass
    holder.kill()
    holder.communicate()

    with run_lock(tmp_path, None):
        pass


def test_two_folders_that_share_a_journal_share_its_lock(tmp_path: Path) -> None:
    journal = tmp_path / "shared.journal"
    with (
        run_lock(tmp_path / "a", journal),
        pytest.raises(WrongUsage, match="another run is at work here"),
        run_lock(tmp_path / "b", journal),
    ):
        pass
    with run_lock(tmp_path / "a", None), run_lock(tmp_path / "b", None):
        assert (tmp_path / "a" / LOCK_NAME).exists()
