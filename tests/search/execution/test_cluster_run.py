"""`explorer run --cluster` on a Dask cluster whose workers, scheduler and coordinator are killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.search.execution.dask_processes import Cluster, end
from tests.search.measured import ROOT, assert_measured, free_port, make_measured, until

README = (ROOT / "explorer/search/README.md").read_text(encoding="utf-8")
SBATCH = """#!/bin/sh
cp "$1" "$TMPDIR/job.$$"
setsid sh "$TMPDIR/job.$$" > "$TMPDIR/job.$$.log" 2>&1 < /dev/null &
echo "Submitted batch job $!"
"""
pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Scheduler and three boards, one design at a time on each."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    started.start_worker("--nworkers", "3", "--resources", "board=1")
    yield started
    started.stop()


@pytest.fixture
def on_cluster(cluster: Cluster) -> tuple[str, ...]:
    return ("--cluster", cluster.url, "--resource", "board=1", "--json")


@pytest.mark.slow
def test_every_trial_completes_once_after_any_kill(
    tmp_path: Path, cluster: Cluster, on_cluster: tuple[str, ...]
) -> None:
    boards = make_measured(tmp_path, trials=90, seconds=0.1)
    with boards.start(*on_cluster) as run:
        until(lambda: len(boards.calls) >= 15)
        os.kill(boards.calls[-1][0], signal.SIGKILL)  # the nanny starts another worker
        until(lambda: len(boards.calls) >= 30)
        end(cluster.scheduler)
        n_before = len(boards.calls)
        cluster.scheduler = cluster.start_scheduler()
        cluster.start_worker("--nworkers", "3", "--resources", "board=1")
        until(lambda: len(boards.calls) >= n_before + 15)
        run.kill()
    done = boards.run(*on_cluster)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 90
    # Design of the killed worker; twice three running and one queued; the one being recorded.
    assert len(boards.calls) - 90 <= 1 + 2 * 4 + 4
    assert set(boards.repeated.values()) <= {2, 3}
    assert_measured(boards.trials, 90)
    runs = json.loads((tmp_path / "results/boards/provenance.json").read_text(encoding="utf-8"))["runs"]
    assert runs[-1]["cluster"] == cluster.url


def test_ctrl_c_waits_for_the_boards_and_releases_them(tmp_path: Path, on_cluster: tuple[str, ...]) -> None:
    boards = make_measured(tmp_path, trials=500, seconds=0.2)
    done = boards.run(*on_cluster, meanwhile=lambda: boards.interrupt(9))
    n = len(boards.calls)
    more = boards.run(*on_cluster, "--trials", n + 4)

    assert done.returncode == 130, done.stderr
    assert json.loads(more.stdout)["n_added"] == 4
    assert boards.repeated == {}
    assert_measured(boards.trials, n + 4)


def test_hung_design_exceeds_the_time_limit_and_is_given_up(tmp_path: Path, on_cluster: tuple[str, ...]) -> None:
    hang = 'if design["quant_step"] == 0.2 and design["mode"] == "eco" and design["frequency_hz"] < 7e8: time.sleep(99)'
    boards = make_measured(tmp_path, trials=12, is_finite=True, extra=hang)
    done = boards.run(*on_cluster, "--time-limit", "1 s")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 11
    assert boards.repeated == {(0.2, 6e8, "eco"): 4}
    assert "longer than 1 s, or its worker was lost, 4 times" in done.stderr


@pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")
@pytest.mark.slow
def test_slurm_script_of_the_readme_starts_a_cluster(tmp_path: Path) -> None:
    """Without Slurm: a fake `sbatch` starts the job script at once, and `scancel` ends it."""
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "SLURMCluster" in code]
    for name, text in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\nkill -9 -- "-$1"\n')):
        (tmp_path / name).write_text(text, encoding="ascii")
        (tmp_path / name).chmod(0o755)
    code = code.replace('"port": 8786', f'"port": {free_port()}, "host": "127.0.0.1"').replace("jobs=20", "jobs=2")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    boards = make_measured(tmp_path, trials=12, seconds=0.1)
    command = [sys.executable, "-W", "ignore", "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as head:
        try:
            assert head.stdout
            done = boards.run("--cluster", head.stdout.readline().strip(), "--json")
        finally:
            head.send_signal(signal.SIGINT)
            head.wait(60)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 12
