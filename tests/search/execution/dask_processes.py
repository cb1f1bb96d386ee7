"""Dask cluster of local processes that cannot import explorer."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from explorer.models.measured.task import SourceFunction, call_task, dump_task
from explorer.search.execution.executor import DesignExecutor
from tests.search.measured import free_port, until

IMPORT_BLOCKER = """
import sys
class NoExplorer:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "explorer":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoExplorer())
"""
FUNCTION = """
import os, time
from pathlib import Path

def measure(design):
    begun = time.time()
    if "log" in design:
        with open(design["log"], "a") as file:
            file.write(f"{os.getpid()}\\n")
    if design.get("wait_for"):
        while not Path(design["wait_for"]).exists():
            time.sleep(0.02)
    time.sleep(design.get("sleep", 0))
    if "read" in design:
        return {"text": Path(design["read"]).read_text()}
    if "raise" in design:
        raise SystemExit(design["raise"])
    return {"energy_j": design["x"] * 2, "pid": os.getpid(), "begun": begun, "ended": time.time()}
"""
TASK = dump_task(SourceFunction("/home/user/task.py", "measure", FUNCTION))


class Cluster:
    """Scheduler and workers, each in its own process."""

    def __init__(self, folder: Path, scheme: str = "tcp", env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.folder, self.env = folder, {**os.environ, "PYTHONWARNINGS": "default", **(env or {})}
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "block.py").write_text(IMPORT_BLOCKER, encoding="utf-8")
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        address = self.url.rpartition(":")[0]
        return self.start("scheduler", "--host", address, "--port", str(self.port), "--no-dashboard")

    def start_worker(self, *options: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        return self.start(
            "worker", self.url, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60",
            "--local-directory", str(self.folder), *options, before=before,
        )  # fmt: skip

    def start(self, part: str, *options: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{part}", *options]
        command += ["--preload", str(self.folder / "block.py")]
        log = (self.folder / f"{part}-{len(self.processes)}.log").open("wb")
        with log:
            started = subprocess.Popen(
                [*before, *command], cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(started)
        return started

    def stop(self) -> None:
        for process in self.processes:
            end(process)


@contextmanager
def ssh_server(folder: Path) -> Iterator[list[str]]:
    """Start an sshd on the loopback interface with its own keys; yield its login command."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs an SSH server: apt-get install openssh-server")
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, cwd=folder)
    if os.geteuid() == 0:  # Debian's sshd needs this folder, which only its service creates
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host_key", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": folder / "user_key.pub", "StrictModes": "no", "PermitRootLogin": "prohibit-password",
    }  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in options.items()), encoding="utf-8")
    server = subprocess.Popen(
        [program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL, start_new_session=True
    )
    login = ["ssh", "-F", "none", "-p", str(port), "-i", str(folder / "user_key"), "-o", "BatchMode=yes"]
    login += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "127.0.0.1"]
    try:
        until(lambda: subprocess.run([*login, "true"], check=False, capture_output=True).returncode == 0, 20)
        yield login
    finally:
        end(server)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process with its session, including the worker of a nanny."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def submit(executor: DesignExecutor, **design: Any) -> "Future[tuple[str, Any, str]]":
    """Submit a design to the function `measure` above."""
    return executor.submit(call_task, TASK, {"x": 1.0, **design})
