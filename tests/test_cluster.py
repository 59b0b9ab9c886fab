"""Which cluster the lab runs on: refused in one line where it cannot be, each run with a device of its own, the same
results everywhere."""

import os
import re
import stat
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from w2s_lib.errors import ParameterError
from w2s_lib.lab import cluster
from w2s_lib.lab.cluster import (
    CPU,
    GPU,
    ClusterError,
    Connection,
    as_finished,
    check_job,
    choose,
    connect,
    declared,
    slurm_options,
    threads,
    visible,
    worker_specs,
)

PAGE = Path(__file__).resolve().parent.parent / "book" / "running-at-scale.md"


@pytest.fixture(autouse=True)
def no_choice_from_outside(monkeypatch):
    monkeypatch.delenv("W2S_DASK", raising=False)
    monkeypatch.delenv("W2S_SHARDS", raising=False)
    monkeypatch.delenv("W2S_PATIENCE", raising=False)


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_environment_goes_before_the_edition(monkeypatch):
    assert choose() == choose("local") == "local"
    assert choose("tcp://node7:8786") == "tcp://node7:8786"
    monkeypatch.setenv("W2S_DASK", "tls://[::1]:8786")
    assert choose("local") == "tls://[::1]:8786"


@pytest.mark.parametrize("value", ["", "locall", "SLURM", "node7:8786", "tcp://node7", "http://node7:8786", 3, None])
def test_a_wrong_choice_is_refused_in_one_line(value, monkeypatch):
    with pytest.raises(
        ParameterError, match=re.escape(f"dask={value!r}: must be 'local', 'slurm' or the address")
    ) as error:
        choose(value)
    assert "\n" not in str(error.value)
    if isinstance(value, str) and value:
        monkeypatch.setenv("W2S_DASK", value)
        with pytest.raises(ParameterError, match="W2S_DASK="):
            choose("local")


def test_slurm_needs_its_library_and_its_programs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"dask='slurm': needs dask-jobqueue.*\.\[cluster\]"):
        choose("slurm")
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ParameterError, match="dask='slurm': needs SLURM's sbatch"):
        choose("slurm")
    program(tmp_path, "sbatch", "exit 0")
    assert choose("slurm") == "slurm"


def test_visible_gpus_go_by_their_own_names():
    assert visible(0, None) == ()
    assert visible(3, None) == ("0", "1", "2")
    assert visible(2, "GPU-8932, GPU-11f0") == ("GPU-8932", "GPU-11f0")
    assert visible(1, "5,-1,6") == ("5",), "CUDA counts up to the first name that is none"
    assert visible(5, None, together=2) == ("0,1", "2,3"), "the odd one is left out"
    with pytest.raises(ClusterError, match="W2S_SHARDS=4: this machine has 3 GPUs"):
        visible(3, None, together=4)


def test_each_gpu_has_one_worker_and_the_others_see_none():
    specs = worker_specs(2, ("0", "3"), memory=4000)
    seen = {name: spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] for name, spec in specs.items()}
    assert seen == {"cpu-0": "", "cpu-1": "", "gpu-0": "0", "gpu-3": "3"}
    assert {name: spec["options"]["resources"] for name, spec in specs.items() if name.startswith("gpu")} == {
        "gpu-0": {GPU: 1},
        "gpu-3": {GPU: 1},
    }
    assert all(spec["options"]["nthreads"] == 1 for spec in specs.values())


def test_workers_with_a_gpu_have_memory_for_whole_models():
    def limits(*arguments):
        return {name: spec["options"]["memory_limit"] for name, spec in worker_specs(*arguments).items()}

    assert limits(2, ("0", "3"), 4000) == {"cpu-0": 500, "cpu-1": 500, "gpu-0": 1500, "gpu-3": 1500}
    assert limits(16, ("0",), 64_000)["gpu-0"] == 48_000, (
        "the only one that loads a large model, whatever stands beside it"
    )
    assert limits(0, ("0",), 4000) == {"gpu-0": 4000} and limits(2, (), 4000) == {"cpu-0": 2000, "cpu-1": 2000}
    assert set(limits(2, ("0",), 0).values()) == {0}


def test_runs_ask_for_what_workers_declare():
    assert Connection(None).resources(gpu=True) is None and Connection(None).resources(gpu=False) is None
    both, gpus = Connection(None, frozenset((GPU, CPU))), Connection(None, frozenset((GPU,)))
    assert both.resources(gpu=True) == {GPU: 1} and both.resources(gpu=False) == {CPU: 1}
    assert gpus.resources(gpu=False) is None, "where all workers have a GPU, any will do"
    assert declared(["--resources", "GPU=2,CPU=1"]) == {GPU, CPU} and declared([]) == frozenset()


def looks() -> Callable[[int], tuple[str, ...]]:
    """What workers are asked, as a function that travels by value: they import neither this file nor its torch."""

    def look(_: int) -> tuple[str, ...]:
        time.sleep(0.3)
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
        return (*(os.environ.get(name, "unset") for name in names), str(os.getpid()))

    return look


look = looks()


@pytest.mark.slow
def test_each_run_sees_its_own_device(monkeypatch, tmp_path):
    """Processes of this machine, started as they would be if it had three GPUs of which two may be used."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with connect("local", workers=2, tasks=7, gpu_tasks=6, logs=tmp_path) as connection:
        submit = connection.client.submit
        on_gpus = [submit(look, i, resources=connection.resources(gpu=True), pure=False) for i in range(6)]
        elsewhere = submit(look, 6, resources=connection.resources(gpu=False), pure=False)
        found, other = connection.client.gather(on_gpus), elsewhere.result()
    devices = {}
    for device, one_thread, trim, process in found:
        devices.setdefault(process, set()).add(device)
        assert one_thread == "1" and trim == "1073741824"
    assert sorted(map(sorted, devices.values())) == [["1"], ["2"]], "two processes, each with a device of its own"
    assert other[0] == "" and other[3] not in devices


def test_without_a_gpu_there_are_plain_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with connect("local", workers=1, tasks=1, gpu_tasks=1, logs=tmp_path) as connection:
        assert connection.resources(gpu=True) is None
        assert len(connection.client.scheduler_info()["workers"]) == 1
        found = connection.client.submit(begun, cluster.FORKED[0], pure=False).result(timeout=60)
    assert found == (cluster.FORKS, "")


def begun(module: str) -> tuple[bool, str]:
    """Whether a worker began with a module imported, and which GPUs it sees."""
    return module in sys.modules, os.environ["CUDA_VISIBLE_DEVICES"]


def test_a_worker_that_is_killed_as_it_starts_is_one_line(tmp_path, monkeypatch):
    import distributed

    def killed(*_, **__):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "SpecCluster", killed)
    with pytest.raises(ClusterError, match=r"workers=2: a worker process did not start \(Nanny failed") as error:
        with connect("local", workers=2, tasks=2, gpu_tasks=0, logs=tmp_path):
            pass
    assert "\n" not in str(error.value)


def test_no_scheduler_at_the_address_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWERS_WITHIN", "1s")
    with pytest.raises(ClusterError, match="dask='tcp://127.0.0.1:9': no scheduler answers") as error:
        with connect("tcp://127.0.0.1:9", 1, 1, 0, tmp_path):
            pass
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_workers_at_an_address_say_what_they_have(tmp_path):
    from distributed import Scheduler, SpecCluster

    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with SpecCluster(worker_specs(1, ("0",)), scheduler, silence_logs=50) as there:
        with connect(there.scheduler_address, 1, 2, 1, tmp_path) as connection:
            assert connection.resources(gpu=True) == {GPU: 1} and connection.resources(gpu=False) == {CPU: 1}
            assert connection.client.submit(look, 0, resources={GPU: 1}).result()[0] == "0"
        assert len(there.scheduler_info["workers"]) == 2, "it is not ours to close"


def test_slurm_says_why_it_refuses_a_job(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    refuses = 'echo "allocation failure: invalid partition\n specified" >&2; exit 1'
    program(tmp_path, "sbatch", f'grep -q "^#SBATCH -p short" && exit 0\n{refuses}')
    check_job("#!/bin/sh\n#SBATCH -p short\n")
    with pytest.raises(
        ClusterError, match=r"SLURM refuses the job \(allocation failure: invalid partition specified\)"
    ) as error:
        check_job("#!/bin/sh\n#SBATCH -p long\n")
    assert "\n" not in str(error.value)


def test_a_job_sets_up_its_workers_and_keeps_what_is_configured(tmp_path):
    options = slurm_options(
        {"job-script-prologue": ["module load cuda"], "log-directory": None, "scheduler-options": {"port": 8786}},
        tmp_path,
    )
    assert options["job_script_prologue"][-1] == "module load cuda"
    assert {"export OMP_NUM_THREADS=1", "export MALLOC_TRIM_THRESHOLD_=1073741824"} <= set(
        options["job_script_prologue"]
    )
    assert options["log_directory"] == str(tmp_path) and options["scheduler_options"]["port"] == 8786
    assert slurm_options({"log-directory": "/logs"}, tmp_path)["log_directory"] == "/logs"


def test_the_example_on_the_page_is_a_job(tmp_path):
    """The configuration that *Running at scale* shows is one that dask-jobqueue takes, and the job is what the page
    says."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: no jobs of SLURM")
    import dask
    import yaml

    example = next(
        block
        for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
        if "jobqueue:" in block
    )
    defaults = dask.config.get("jobqueue.slurm")
    with dask.config.set(
        {"jobqueue.slurm": defaults | yaml.safe_load(example)["jobqueue"]["slurm"] | {"interface": None}}
    ):
        configured = dask.config.get("jobqueue.slurm")
        with jobqueue.SLURMCluster(**slurm_options(configured, tmp_path), silence_logs=50) as made:
            script = made.job_script()
    for line in ("#SBATCH -p gpu", "#SBATCH --gres=gpu:1", "export OMP_NUM_THREADS=1", "--resources GPU=1"):
        assert line in script
    assert "GPU" in declared(configured["worker-extra-args"])


@contextmanager
def scheduler_with(**workers: dict):
    """A scheduler in this process with workers in threads of it, by name; enough to ask and to be asked."""
    from distributed import Scheduler, SpecCluster, Worker

    plain = {"nthreads": 1, "host": "127.0.0.1", "dashboard": False}
    specs = {name: {"cls": Worker, "options": plain | options} for name, options in workers.items()}
    late = {"cls": Worker, "options": plain}
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with SpecCluster(specs, scheduler, worker=late, silence_logs=50) as there:
        yield there


def test_a_worker_with_threads_is_refused_before_anything_is_run(tmp_path):
    with scheduler_with(one={}, two={"nthreads": 2}) as there:
        address = there.workers["two"].address
        with pytest.raises(
            ClusterError, match=f"worker {address} has 2 threads, .* wrong numbers; start it by 'dask worker"
        ) as error:
            with connect(there.scheduler_address, 1, 1, 0, tmp_path):
                pytest.fail("was connected")
        assert "\n" not in str(error.value) and f"{there.scheduler_address} --nthreads 1" in str(error.value)


def test_threads_of_a_job_are_those_that_it_would_have():
    assert threads({"cores": 8, "processes": 8}) == threads({"cores": 1}) == 1
    assert threads({"cores": 8, "processes": None}) == 2, "the library's own default"
    assert threads({"cores": 8, "processes": 8, "worker-extra-args": ["--nthreads", 4]}) == 4
    assert threads({"cores": 8, "worker-extra-args": ["--nthreads=1"]}) == 1
    assert threads({"cores": 2, "processes": 4}) == 0, "which Dask takes for as many as there are"


def test_a_job_whose_workers_have_threads_is_refused_before_one_is_submitted(monkeypatch, tmp_path):
    import dask

    monkeypatch.setitem(
        sys.modules, "dask_jobqueue", types.SimpleNamespace(SLURMCluster=lambda **_: pytest.fail("a job was made"))
    )
    with dask.config.set({"jobqueue.slurm": {"cores": 8, "memory": "16GB"}}):
        with pytest.raises(
            ClusterError, match="workers would have 2 threads each, .* set processes as cores, 8"
        ) as error:
            with connect("slurm", 1, 1, 0, tmp_path):
                pass
    assert "\n" not in str(error.value)


def test_runs_that_no_worker_can_take_are_not_waited_for(tmp_path, monkeypatch, capsys):
    """The only worker with a GPU dies: what others can do is done, and meanwhile it is said what is missing."""
    monkeypatch.setenv("W2S_PATIENCE", "1.5")
    monkeypatch.setattr(cluster, "SAY", 0.2)
    with scheduler_with(gpu={"resources": {GPU: 1}}, cpu={"resources": {CPU: 1}}) as there:
        with connect(there.scheduler_address, 2, 2, 1, tmp_path) as connection:
            there.sync(there.workers["gpu"].close)
            gpu, cpu = connection.resources(gpu=True), connection.resources(gpu=False)
            submit = connection.client.submit
            asked = {
                submit(time.sleep, 0, resources=gpu, pure=False): gpu,
                submit(time.sleep, 1.2, resources=cpu, pure=False): cpu,
            }
            finished = []
            with pytest.raises(
                ClusterError, match=r"1 runs are left, .* no worker with GPU \(--resources GPU=1\); .*'dask worker tcp"
            ) as error:
                for future in as_finished(connection, asked):
                    finished.append(future)
            assert finished == list(asked)[1:] and finished[0].status == "finished"
            assert "\n" not in str(error.value)
    said = capsys.readouterr().err.splitlines()
    assert all(line.startswith("waiting: ") and "no worker with GPU" in line for line in said)
    assert said[0].startswith("waiting: 2 runs are left"), "while the other one was at work"


def test_jobs_that_never_start_are_told_of_and_there_is_an_end(monkeypatch, capsys):
    from distributed import Client

    monkeypatch.setattr(cluster, "SAY", 0.2)
    with scheduler_with() as there, Client(there.scheduler_address) as client:
        waiting = {client.submit(abs, -1, pure=False): {}}
        slurm = cluster.Connection(client, frozenset(), 1.0, "a job of SLURM; 'squeue --me' says why none starts")
        with pytest.raises(ClusterError, match="1 runs are left, .* no worker; finished runs are kept.*'squeue --me'"):
            list(as_finished(slurm, waiting))
    said = capsys.readouterr().err.splitlines()
    assert 1 <= len(said) <= 3, "when it has waited long enough; how often more hangs on the machine"
    assert re.fullmatch(
        "waiting: 1 runs are left, .* no worker: a job of SLURM; 'squeue --me' .*; ends after 1 s .*", said[0]
    )


def test_it_is_said_again_whenever_the_wait_has_doubled(monkeypatch, capsys):
    """By a clock of the test's own, which no busy machine holds up."""
    import distributed

    class Run:
        key = "one"

    now = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + 1))
    monkeypatch.setattr(cluster, "time", clock)
    monkeypatch.setattr(distributed, "as_completed", lambda asked: types.SimpleNamespace(next_batch=lambda block: []))
    nobody = types.SimpleNamespace(scheduler_info=lambda: {"workers": {}}, processing=dict)
    with pytest.raises(ClusterError, match="for 300 s there has been no worker"):
        list(as_finished(cluster.Connection(nobody, patience=300.0), {Run(): {}}))
    assert re.findall(r"for (\d+) s there", capsys.readouterr().err) == ["30", "60", "120", "240"]


@pytest.mark.parametrize("said", ["0", "-1", "nan", "long"])
def test_patience_is_a_number_of_seconds(said, monkeypatch):
    monkeypatch.setenv("W2S_PATIENCE", said)
    with pytest.raises(ParameterError, match=re.escape(f"W2S_PATIENCE={said!r}: must be a number of seconds")):
        cluster.patience(1.0)
    monkeypatch.setenv("W2S_PATIENCE", "2.5")
    assert cluster.patience(1.0) == 2.5


def test_runs_at_a_scheduler_wait_for_a_worker_that_comes_late(tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_PATIENCE", "20")
    monkeypatch.setattr(cluster, "LOOK", 0.1)
    with scheduler_with() as there, connect(there.scheduler_address, 1, 1, 0, tmp_path) as connection:
        future = connection.client.submit(abs, -1, pure=False)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: [done.result() for done in as_finished(connection, {future: {}})])
            time.sleep(0.5)
            assert not waiting.done()
            there.scale(1)
            assert waiting.result(20) == [1]
