"""`explorer run --cluster` on a real Dask cluster whose workers, scheduler and coordinator are killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.search.dask_processes import Cluster, free_port
from tests.search.measured import FINITE, assert_right, ended, kill, make_measured, states, stored, until

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and three boards, one design at a time on each."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    started.start_worker("--nworkers", "3", "--resources", "board=1")
    yield started
    started.stop()


def test_worker_scheduler_and_coordinator_die_and_every_trial_completes_once(tmp_path: Path, cluster: Cluster) -> None:
    boards = make_measured(tmp_path, trials=90, seconds=0.1)
    command = ("run", "--cluster", cluster.url, "--resource", "board=1", "--json")
    run = boards.start(*command)
    until(lambda: len(boards.calls) >= 15)
    os.kill(boards.calls[-1][0], signal.SIGKILL)  # the nanny starts another worker
    until(lambda: len(boards.calls) >= 30)

    os.killpg(cluster.scheduler.pid, signal.SIGKILL)
    cluster.scheduler.wait()
    n_before = len(boards.calls)
    cluster.scheduler = cluster.start_scheduler()
    cluster.start_worker("--nworkers", "3", "--resources", "board=1")
    until(lambda: len(boards.calls) >= n_before + 15)

    kill(run)
    allowed = 1 + 2 * 4 + 4  # the killed worker's; twice three running ones and one queued; recorded at that moment
    done = boards.run(*command)
    trials = stored(tmp_path / "results/boards/study.journal")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 90
    assert states(trials) == {TrialState.COMPLETE: 90}
    assert len(boards.calls) - 90 <= allowed
    assert set(boards.repeated.values()) <= {2, 3}
    assert_right(trials)
    runs = json.loads((tmp_path / "results/boards/provenance.json").read_text(encoding="utf-8"))["runs"]
    assert runs[-1]["cluster"] == cluster.url


def test_ctrl_c_waits_for_the_boards_and_gives_them_back(tmp_path: Path, cluster: Cluster) -> None:
    boards = make_measured(tmp_path, trials=500, seconds=0.2)
    run = boards.start("run", "--cluster", cluster.url, "--resource", "board=1")
    until(lambda: len(boards.calls) >= 9)
    run.send_signal(signal.SIGINT)
    code, _, err = ended(run)
    n = len(boards.calls)
    more = boards.run("run", "--cluster", cluster.url, "--resource", "board=1", "--trials", n + 4, "--json")

    assert code == 130, err
    assert json.loads(more.stdout)["n_added"] == 4
    assert boards.repeated == {}
    assert states(stored(tmp_path / "results/boards/study.journal")) == {TrialState.COMPLETE: n + 4}


def test_a_hung_design_is_given_up_and_the_others_are_measured(tmp_path: Path, cluster: Cluster) -> None:
    hang = 'if design["quant_step"] == 0.2 and design["mode"] == "eco" and design["frequency_hz"] < 7e8: time.sleep(99)'
    boards = make_measured(tmp_path, trials=12, space=FINITE, extra=hang)
    done = boards.run("run", "--cluster", cluster.url, "--resource", "board=1", "--time-limit", "1 s", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 11
    assert boards.repeated == {(0.2, 6e8, "eco"): 4}
    assert "longer than 1 s, or its worker was lost, 4 times" in done.stderr


SBATCH = """#!/bin/sh
cp "$1" "$TMPDIR/job.$$"
setsid sh "$TMPDIR/job.$$" > "$TMPDIR/job.$$.log" 2>&1 < /dev/null &
echo "Submitted batch job $!"
"""


def test_the_readme_s_script_for_slurm_gives_a_cluster(tmp_path: Path) -> None:
    """Slurm itself is not here: `sbatch` starts the job's script at once, and `scancel` ends it."""
    pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "SLURMCluster" in code]
    queue = tmp_path / "bin"
    queue.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\nkill -9 -- "-$1"\n')):
        (queue / name).write_text(text, encoding="ascii")
        (queue / name).chmod(0o755)
    code = code.replace('"port": 8786', f'"port": {free_port()}, "host": "127.0.0.1"').replace("jobs=20", "jobs=2")
    env = {**os.environ, "PATH": f"{queue}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    boards = make_measured(tmp_path, trials=12, seconds=0.1)
    command = [sys.executable, "-W", "ignore", "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as head:
        try:
            assert head.stdout
            done = boards.run("run", "--cluster", head.stdout.readline().strip(), "--json")
        finally:
            head.send_signal(signal.SIGINT)
            head.wait(60)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 12
