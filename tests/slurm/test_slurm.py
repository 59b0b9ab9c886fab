"""A sweep of the smoke edition on a real SLURM of one node: jobs are cancelled, a worker is killed, and every table is as in a local run.

make test-slurm
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.slurm.one_node import lacking, one_node
from w2s_lib.cluster import ClusterError
from w2s_lib.edition import load
from w2s_lib.lab import Lab, closure
from w2s_lib.store import Store
from w2s_lib.study import Study

JOB = {
    "queue": "main", "cores": 1, "processes": 1, "memory": "2GB", "walltime": "00:10:00", "interface": "lo",
    "job-extra-directives": ["--comment=w2s"],
}  # fmt: skip


@pytest.fixture(scope="module")
def slurm():
    """A running SLURM, and Dask configured for it as a user would."""
    if why := lacking():
        pytest.skip(why)
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install --editable '.[cluster]'")
    import dask

    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, one_node(Path(folder)):
        with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in JOB.items()}):
            yield jobqueue


def jobs(state: str) -> set[str]:
    """Ids of the jobs in that state."""
    return set(subprocess.run(["squeue", "-h", "-t", state, "-o", "%i"], capture_output=True, text=True).stdout.split())


def workers(job: str) -> list[psutil.Process]:
    """The processes in which a job does its runs: what its nanny has started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_ID") == job and "multiprocessing.spawn" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


class Saboteur(threading.Thread):
    """Cancels all jobs once some runs are finished; and once the sweep goes on in other jobs, kills a worker in the middle of its runs."""

    def __init__(self, root: Path, total: int) -> None:
        super().__init__(daemon=True)
        self.root, self.total, self.stop = root, total, threading.Event()
        self.cancelled: set[str] = set()
        self.killed: str | None = None
        self.done_when_cancelled = self.done_when_killed = self.total

    def finished(self) -> int:
        return len(list(self.root.glob("*/*/*/record.json")))

    def until(self, ready) -> bool:
        while not self.stop.is_set():
            if ready():
                return True
            time.sleep(0.1)
        return False

    def run(self) -> None:
        if not self.until(lambda: self.finished() >= self.total // 4 and jobs("RUNNING")):
            return
        self.done_when_cancelled, self.cancelled = self.finished(), jobs("RUNNING")
        subprocess.run(["scancel", *self.cancelled], check=True)
        if not self.until(lambda: jobs("RUNNING") - self.cancelled and self.finished() >= self.total // 2):
            return
        job = min(jobs("RUNNING") - self.cancelled, default=None)
        if job and self.until(lambda: workers(job)):
            self.done_when_killed, self.killed = self.finished(), job
            for process in workers(job):
                process.send_signal(signal.SIGKILL)


def test_the_sweep_survives_and_its_results_are_the_same(slurm, tmp_path):
    study = Study(load("smoke"))
    runs = [*study.student_runs(), *study.policy_runs()]  # reward models and policies: a third of the edition's runs
    total = len(closure(runs))
    here = Lab(tmp_path / "here", workers=os.cpu_count(), progress=False)
    assert here.run(runs) == total
    saboteur = Saboteur(tmp_path / "there", total)
    there = Lab(tmp_path / "there", workers=2, progress=False, dask="slurm")
    saboteur.start()
    assert there.run(runs) == total
    saboteur.stop.set()
    saboteur.join()
    assert saboteur.cancelled and saboteur.done_when_cancelled < total, "jobs were cancelled in the middle of the sweep"
    assert saboteur.killed not in saboteur.cancelled | {None}, "the sweep went on in another job, and its worker was killed"
    assert saboteur.done_when_killed < total
    assert not jobs("RUNNING,PENDING"), "no job is left behind"
    for spec in closure(runs):
        tables = {path.name for path in here.store.path(spec).glob("*.parquet")}
        assert tables and tables == {path.name for path in there.store.path(spec).glob("*.parquet")}
        for name in tables:
            pd.testing.assert_frame_equal(*(pd.read_parquet(lab.store.path(spec) / name) for lab in (here, there)), check_exact=True)


def test_a_job_that_slurm_refuses_is_one_line_and_soon(slurm, tmp_path):
    import dask

    start = time.monotonic()
    with (
        dask.config.set({"jobqueue.slurm.queue": "nowhere"}),
        pytest.raises(ClusterError, match="SLURM refuses the job .*partition") as error,
    ):
        Lab(tmp_path, workers=1, progress=False, dask="slurm").run(Study(load("smoke")).runs())
    assert "\n" not in str(error.value) and time.monotonic() - start < 30
    assert not Store(tmp_path).has(Study(load("smoke")).runs()[0])
