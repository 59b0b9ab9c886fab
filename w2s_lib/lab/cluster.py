"""Where missing runs are carried out: processes of this machine, a Dask scheduler at an address, or jobs of SLURM.

One name chooses, the edition's ``dask`` or the environment's ``W2S_DASK``; all else about a scheduler or a queue is
Dask's own configuration.  Results do not depend on the choice: they are named by content, and a run reads nothing but
its parents' results.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from w2s_lib.errors import GOES_ON, OneLineError, ParameterError, first_line
from w2s_lib.training.shards import SHARDS, shards

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL, SLURM = "local", "slurm"

ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:\d+")

GPU, CPU = "GPU", "CPU"
"""Resources: a worker with a GPU declares one of the first, one that is to have no other runs one of the second."""

ANSWERS_WITHIN = "15s"
"""How long a scheduler at an address may take to answer."""

LOOK = 10.0
"""Seconds between two looks at whether a scheduler has workers for the runs that are left."""

SAY = 30.0
"""Seconds without a worker after which it is said what runs wait for; said again whenever the wait has doubled."""

PATIENCE_WITHOUT_WORKER = 300.0
"""Seconds that runs wait where there is no worker for them: one that died may be started again."""

PATIENCE_WITH_RESTARTS = 120.0
"""Seconds that runs wait where Dask starts a process of this machine again: one that died as it started, it forgets."""

QUEUED = 24 * 3600.0
"""Seconds that runs wait for the first job of SLURM: queues are long.  ``$W2S_PATIENCE`` goes before all three."""

WAITS = "W2S_PATIENCE"
"""Environment variable: seconds that runs wait where no worker can take them."""

GPU_PART = 0.75
"""Part of this machine's memory for the workers with a GPU: their runs load whole models through it."""

INSTALL = "pip install --editable '.[cluster]'"

# One thread a process; and no trimming of freed memory, which Dask sets up for large data and which
# makes each of a small model's thousands of steps ask the system for its memory again.
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ENVIRONMENT |= dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), "1073741824")

DASK_SETTINGS = {
    "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    "distributed.worker.profile.enabled": False,  # it would sample the training loop a hundred times a second
    "distributed.admin.tick.limit": "1h",
    "distributed.scheduler.worker-ttl": None,
    # Else Dask takes a run that it does not know for half a second, and asks SLURM for one job where ten have work.
    "distributed.scheduler.unknown-task-duration": "1m",
}
"""Dask's configuration while the lab runs something."""

FORKS = sys.platform == "linux"
"""Whether workers start as copies of a fork server, where none of them has a GPU: CUDA wants a process of its own.
Elsewhere forking is not safe once libraries are loaded (macOS) or is not known (Windows)."""

FORKED = ("w2s_lib.lab.forked",)
"""What the fork server imports, once for all its copies; they have the environment in which it began."""

AT_HAND = "w2s-at-hand"
"""Dask's topic of what workers say of the runs that they are at."""

WRONG = "two runs at once in one process compute wrong numbers"


class ClusterError(OneLineError):
    """A cluster that cannot be used, in one line."""


class Connection(NamedTuple):
    """A client of a cluster, what its workers declare, or will, how many seconds runs may be without a worker, and how
    one comes to be."""

    client: Client
    declared: frozenset[str] = frozenset()
    patience: float = PATIENCE_WITHOUT_WORKER
    started: str = "a process of this machine, which Dask starts again; does it fail at once, or lack memory?"

    def resources(self, gpu: bool) -> dict[str, int] | None:
        """What a run asks for that wants a GPU, or none, where there are workers for just that; None: any will do."""
        name = GPU if gpu else CPU
        return {name: 1} if name in self.declared else None


def choose(dask: str = LOCAL) -> str:
    """The cluster to use: ``$W2S_DASK`` where it is set, else ``dask``; checked as far as this machine can.

    Raises:
        ParameterError: neither ``local`` nor ``slurm`` nor a scheduler's address; or SLURM, and it cannot be had here.
    """
    said, wrong = os.environ.get("W2S_DASK"), None
    name, value = ("W2S_DASK", said) if said else ("dask", dask)
    if not isinstance(value, str) or value not in (LOCAL, SLURM) and not ADDRESS.fullmatch(value):
        wrong = f"must be '{LOCAL}', '{SLURM}' or the address of a Dask scheduler, such as 'tcp://host:8786'"
    elif value == SLURM and importlib.util.find_spec("dask_jobqueue") is None:
        wrong = f"needs dask-jobqueue, which is not installed: {INSTALL}"
    elif value == SLURM and shutil.which("sbatch") is None:
        wrong = "needs SLURM's sbatch, which this machine has not; start from a machine that submits jobs"
    if wrong:
        raise ParameterError(name, value, wrong)
    return value


def patience(usual: float) -> float:
    """Seconds that runs wait where no worker can take them: ``$W2S_PATIENCE`` where it is set, else the ``usual``.

    Raises:
        ParameterError: it is set to something else than a number of seconds above 0.
    """
    said = os.environ.get(WAITS)
    try:
        seconds = float(said or usual)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ParameterError(WAITS, said, "must be a number of seconds above 0")
    return seconds


def visible(devices: int, mask: str | None, together: int = 1) -> tuple[str, ...]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES``, now ``mask``, names them: so many ``devices``.

    ``together`` of them make one entry: those of a worker whose runs are sharded.

    >>> visible(2, None), visible(4, "4,5,6,7", together=2), visible(0, "")
    (('0', '1'), ('4,5', '6,7'), ())

    Raises:
        ClusterError: there are some, and too few to put so many together.
    """
    names = [name.strip() for name in (map(str, range(devices)) if mask is None else mask.split(","))][:devices]
    if 0 < (there := len(names)) < together:
        raise ClusterError(
            f"{SHARDS}={together}: this machine has {there} GPUs that may be used; allowed: 1 to {there}"
        )
    return tuple(",".join(names[i : i + together]) for i in range(0, there - together + 1, together))


def worker_specs(cpus: int, gpus: Sequence[str] = (), memory: int = 0) -> dict[str, dict[str, Any]]:
    """Specs of Dask's workers on this machine: ``cpus`` without a GPU, and one for each entry of ``gpus`` (see
    ``visible``), which sees no other.

    ``memory`` in bytes is shared out among them (0: no limit): those with a GPU have ``GPU_PART`` of it in equal parts,
    and the others the rest.  Where there is only one kind, it has all.
    """
    from distributed import Nanny

    def worker(sees: str, resource: str, limit: int) -> dict[str, Any]:
        common = {"nthreads": 1, "host": "127.0.0.1", "dashboard": False, "silence_logs": 50}
        own = {"env": {"CUDA_VISIBLE_DEVICES": sees}, "resources": {resource: 1}, "memory_limit": limit}
        return {"cls": Nanny, "options": common | own}

    for_gpus = int(memory * (GPU_PART if cpus else 1)) if gpus else 0
    blind = {f"cpu-{i}": worker("", CPU, (memory - for_gpus) // cpus) for i in range(cpus)}
    return blind | {f"gpu-{name}": worker(name, GPU, for_gpus // len(gpus)) for name in gpus}


@contextmanager
def _as_copies() -> Iterator[None]:
    """Dask's workers start as copies of this process's fork server, where forking is known to be safe."""
    import dask
    from distributed.utils import get_mp_context

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"} if FORKS else {}):
        if FORKS:
            get_mp_context().set_forkserver_preload(list(FORKED))  # Dask has set what it would have imported
        yield


@contextmanager
def _local(workers: int, tasks: int, gpu_tasks: int) -> Iterator[Connection]:
    from distributed import Client, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    gpus: tuple[str, ...] = ()
    if gpu_tasks:
        import torch  # here, for it is slow to import and only it knows

        gpus = visible(torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"), shards())
        gpus = gpus[: min(workers, gpu_tasks)]
    specs = worker_specs(min(workers, tasks - gpu_tasks if gpus else tasks), gpus, MEMORY_LIMIT)
    options = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": ":0"}
    scheduler = {"cls": Scheduler, "options": options}
    with nullcontext() if gpus else _as_copies():
        try:
            started = SpecCluster(specs, scheduler, silence_logs=50)
        except RuntimeError as error:
            raise ClusterError(
                f"workers={workers}: a worker process did not start ({first_line(error)}): killed, or lacking memory? "
                f"{GOES_ON}"
            ) from None
        with started as cluster, Client(cluster) as client:
            yield Connection(client, frozenset((GPU, CPU)) if gpus else frozenset(), patience(PATIENCE_WITH_RESTARTS))


@contextmanager
def _remote(address: str) -> Iterator[Connection]:
    from distributed import Client

    try:
        client = Client(address, timeout=ANSWERS_WITHIN)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"dask={address!r}: no scheduler answers there ({type(error).__name__}); start one with 'dask scheduler'"
        ) from None
    with client:
        workers = client.scheduler_info()["workers"]
        for name, worker in workers.items():
            if worker["nthreads"] != 1:
                raise ClusterError(
                    f"dask={address!r}: worker {name} has {worker['nthreads']} threads, and {WRONG}; "
                    f"start it by 'dask worker {address} --nthreads 1'"
                )
        has = frozenset(name for worker in workers.values() for name in worker["resources"])
        yield Connection(client, has, patience(PATIENCE_WITHOUT_WORKER), f"'dask worker {address} --nthreads 1'")


def threads(configured: Mapping[str, Any]) -> int:
    """How many threads each worker of a job would have, by the configuration of ``jobqueue.slurm``.

    >>> threads({"cores": 16, "processes": 16}), threads({"cores": 16})
    (1, 4)
    """
    from distributed.deploy.local import nprocesses_nthreads

    said = re.findall(r"--nthreads[= ](\d+)", " ".join(map(str, configured.get("worker-extra-args") or ())))
    if said:
        return int(said[-1])
    processes = configured.get("processes") or nprocesses_nthreads(configured["cores"])[0]  # as dask-jobqueue has it
    return int(configured["cores"] / processes)


def declared(worker_arguments: Sequence[str]) -> frozenset[str]:
    """Names of the resources that a worker started with these arguments declares.

    >>> sorted(declared(["--lifetime", "55m", "--resources", "GPU=1 CPU=1"]))
    ['CPU', 'GPU']
    """
    return frozenset(re.findall(r"(\w+)=\d", " ".join(map(str, worker_arguments))))


def slurm_options(configured: Mapping[str, Any], logs: Path) -> dict[str, Any]:
    """What a ``SLURMCluster`` takes beside its configuration, ``jobqueue.slurm``: the workers' environment, in a job's
    first lines, and a folder for the jobs' logs where none is configured."""
    exports = [f"export {name}={value}" for name, value in ENVIRONMENT.items()]
    exports.append("export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False")
    return {
        "job_script_prologue": [*exports, *(configured.get("job-script-prologue") or ())],
        "log_directory": configured.get("log-directory") or str(logs),
        "scheduler_options": {"dashboard_address": ":0"} | (configured.get("scheduler-options") or {}),
    }


def check_job(script: str) -> None:
    """Ask SLURM whether it would take this job; else adaptive scaling would go on asking, and say nothing.

    Raises:
        ClusterError: it would not, and why.
    """
    answer = subprocess.run(["sbatch", "--test-only"], input=script, capture_output=True, encoding="utf-8")
    if answer.returncode:
        said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        raise ClusterError(
            f"dask='{SLURM}': SLURM refuses the job ({said}); "
            "its queue, memory, walltime … stand in Dask's jobqueue.yaml"
        )


@contextmanager
def _slurm(workers: int, tasks: int, logs: Path) -> Iterator[Connection]:
    import dask
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    configured = dask.config.get("jobqueue.slurm")
    if not configured.get("cores") or not configured.get("memory"):
        raise ClusterError(
            f"dask='{SLURM}': a job's cores and memory are not configured; "
            "they belong in Dask's jobqueue.yaml under jobqueue: slurm:"
        )
    if threads(configured) != 1:
        raise ClusterError(
            f"dask='{SLURM}': a job's workers would have {threads(configured)} threads each, and {WRONG}; "
            f"under jobqueue: slurm: set processes as cores, {configured['cores']}"
        )
    with SLURMCluster(**slurm_options(configured, logs), silence_logs=50) as cluster:
        check_job(cluster.job_script())
        # Not ``scale``: a fixed number of jobs is not made up again after one was cancelled (dask-jobqueue, issue 611).
        cluster.adapt(minimum_jobs=1, maximum_jobs=max(1, min(workers, tasks)))
        with Client(cluster) as client:
            has = declared(configured.get("worker-extra-args") or ())
            yield Connection(client, has, patience(QUEUED), "a job of SLURM; 'squeue --me' says why none starts")


@contextmanager
def connect(chosen: str, workers: int, tasks: int, gpu_tasks: int, logs: Path) -> Iterator[Connection]:
    """The cluster ``chosen`` for so many ``tasks``, of which ``gpu_tasks`` want a GPU, and a client of it; closed on
    leaving, unless it was there before.

    ``workers``: processes with and without a GPU on this machine, or jobs, at most; a scheduler at an address has the
    workers that it has.  ``logs``: folder for what SLURM's jobs print.

    Raises:
        ClusterError: no scheduler at the address, workers with several threads, or SLURM refuses the job.
    """
    import dask
    import distributed  # noqa: F401  it adds its defaults, which would be taken back with the settings

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # that a scheduler is gone, the lab says itself
    opened = {LOCAL: _local(workers, tasks, gpu_tasks), SLURM: _slurm(workers, tasks, logs)}
    with dask.config.set(DASK_SETTINGS), opened.get(chosen) or _remote(chosen) as connection:
        yield connection


def hear(connection: Connection, listener: Callable[[str], object]) -> None:
    """Have a listener told what the workers say of the runs that they are at."""
    connection.client.subscribe_topic(AT_HAND, lambda event: listener(event[1]))


def heard_by_client() -> Callable[[str], object] | None:
    """In a worker, what tells the client; elsewhere None."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return partial(get_worker().log_event, AT_HAND)
    except ValueError:
        return None


def as_finished(connection: Connection, asked: Mapping[Future, Mapping[str, int]]) -> Iterator[Future]:
    """Futures as they finish, each given with the resources that it asks for.

    Where some have no worker to take them, a line on stderr says so after ``SAY`` seconds, also while others are at
    work.

    Raises:
        ClusterError: that was so, and none at work, for as long as the connection's patience.
    """
    from distributed import as_completed

    left, finished = dict(asked), as_completed(asked)
    at_work = enough = look = time.monotonic()
    say_after, every = SAY, min(LOOK, SAY, connection.patience)
    while left:
        if ready := finished.next_batch(block=False):
            for future in ready:
                del left[future]
                yield future
            continue
        time.sleep(0.05)
        if time.monotonic() - look < every:
            continue
        look = time.monotonic()
        busy, lacking = _lacking(connection.client, left)
        if busy or lacking is None:
            at_work = look
        if lacking is None:
            enough, say_after = look, SAY
            continue
        waits = f"{len(left)} runs are left, and for {look - enough:.0f} s there has been no worker{lacking}"
        if look - at_work >= connection.patience:
            raise ClusterError(
                f"{waits}; finished runs are kept, the same command goes on once there is one: {connection.started}"
            )
        if look - enough >= say_after:
            say_after = 2 * (look - enough)
            ends = f"ends after {connection.patience:.0f} s without a run at work ({WAITS})"
            print(f"waiting: {waits}: {connection.started}; {ends}", file=sys.stderr, flush=True)


def _lacking(client: Client, left: Mapping[Future, Mapping[str, int]]) -> tuple[bool, str | None]:
    """Whether a run is at work, and what workers do not have, as in *no worker with GPU*; None where all could be."""
    try:
        workers, processing = client.scheduler_info()["workers"].values(), client.processing()
    except OSError:  # the scheduler is gone: the futures will say so
        return False, None
    keys = {future.key for future in left}
    busy = any(keys & set(its) for its in processing.values())
    there = {name for worker in workers for name in worker["resources"]}
    missing = sorted({name for resources in left.values() for name in resources} - there)
    if missing:
        return busy, f" with {' or '.join(missing)} (--resources {missing[0]}=1)"
    return busy, None if workers else ""
