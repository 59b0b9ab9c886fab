"""A sweep of the smoke edition on a real SLURM of one node: jobs are cancelled, a worker is killed, and every table
is as in a local run.

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
import pytest

from tests.slurm.one_node import lacking, one_node
from w2s_lib.lab import Lab
from w2s_lib.lab.cluster import ClusterError
from w2s_lib.lab.graph import closure
from w2s_lib.lab.store import Store
from w2s_lib.study import Study
from w2s_lib.study.edition import load

JOB = {
    "queue": "main", "cores": 1, "processes": 1, "memory": "2GB", "walltime": "00:10:00", "interface": "lo",
    "job-extra-directives": ["--comment=w2s"],
}  # fmt: skip


@pytest.fixture(scope="module")
def slurm():
    """A running SLURM, and Dask configured for it as a user would."""
    if why := lacking():
        pytest.skip(why)
    jobqueue = pytest.importorskip(
        "dask_jobqueue", reason="dask-jobqueue is not installed: pip install --editable '.[cluster]'"
    )
    import dask

    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, one_node(Path(folder)):
        with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in JOB.items()}):
            yield jobqueue


def jobs(state: str) -> set[str]:
    """Ids of the jobs in that state."""
    return set(
        subprocess.run(
            ["squeue", "-h", "-t", state, "-o", "%i"], capture_output=True, text=True, encoding="utf-8"
        ).stdout.split()
    )


class Saboteur(threading.Thread):
    """Cancels all jobs once some runs are finished; and once the sweep goes on in other jobs, kills a worker in the
    middle of its runs."""

    def __init__(self, root: Path, total: int) -> None:
        super().__init__(daemon=True)
        self.root, self.total, self.stop = root, total, threading.Event()
        self.cancelled: set[str] = set()
        self.killed: int | None = None
        self.done_when_cancelled = self.done_when_killed = self.total

    def finished(self) -> int:
        return len(list(self.root.glob("*/*/*/record.json")))

    def until(self, ready) -> bool:
        while not self.stop.is_set():
            if ready():
                return True
            time.sleep(0.1)
        return False

    def at_work(self) -> list[int]:
        """Processes that are in the middle of a run: the name of its draft ends with their number."""
        found = [int(path.name.rsplit("-", 1)[1]) for path in self.root.glob("*/*/.draft-*")]
        return [process for process in found if Path(f"/proc/{process}").exists()]

    def run(self) -> None:
        if not self.until(lambda: self.finished() >= self.total // 4 and jobs("RUNNING")):
            return
        self.done_when_cancelled, self.cancelled = self.finished(), jobs("RUNNING")
        subprocess.run(["scancel", *self.cancelled], check=True)
        found: list[int] = []
        if self.until(lambda: self.finished() >= self.total // 2 and (found.extend(self.at_work()) or found)):
            self.done_when_killed, self.killed = self.finished(), found[0]
            os.kill(self.killed, signal.SIGKILL)


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
    assert saboteur.killed and saboteur.done_when_killed < total, (
        "the sweep went on in other jobs, and a worker was killed in the middle of a run"
    )
    assert not jobs("RUNNING,PENDING"), "no job is left behind"
    for spec in closure(runs):
        tables = {path.name for path in here.store.path(spec).glob("*.parquet")}
        assert tables and tables == {path.name for path in there.store.path(spec).glob("*.parquet")}
        for name in tables:
            pd.testing.assert_frame_equal(
                *(pd.read_parquet(lab.store.path(spec) / name) for lab in (here, there)), check_exact=True
            )


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
