"""A SLURM of one node, this machine, for as long as a test needs it: with a key, ports and folders of its own, so that
no other is touched."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Why there can be no SLURM here, for a skipped test; empty where there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    if missing:
        return f"no SLURM here: {', '.join(missing)} not found (Debian: apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons are started by root only"


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def _start(folder: Path, *command: str) -> subprocess.Popen:
    with (folder / f"{Path(command[0]).name}.out").open("w", encoding="utf-8") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def _wait(ready, daemons: dict[str, subprocess.Popen], folder: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        dead = [name for name, daemon in daemons.items() if daemon.poll() is not None]
        if dead or time.monotonic() > deadline:
            logs = {
                path.name: path.read_text(encoding="utf-8")[-1500:]
                for path in folder.glob("*")
                if path.suffix in (".out", ".log") and path.is_file()
            }
            raise RuntimeError(f"{', '.join(dead) or 'SLURM'} did not start: {logs}")
        time.sleep(0.2)


@contextmanager
def one_node(folder: Path) -> Iterator[None]:
    """Start munged, slurmctld and slurmd in ``folder``; within it ``SLURM_CONF`` names this SLURM, whose partition is
    ``main``."""
    path, before = os.environ["PATH"], os.environ.get("SLURM_CONF")
    os.environ["PATH"] = f"{path}{os.pathsep}/usr/sbin"
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(64))
    key.chmod(0o400)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    values = {"host": platform.node(), "folder": folder, "controller": _free_port(), "daemon": _free_port()}
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(**values, cpus=os.cpu_count(), memory=memory * 9 // 10), encoding="utf-8"
    )
    os.environ["SLURM_CONF"] = str(configuration)
    daemons: dict[str, subprocess.Popen] = {}
    try:
        munge = folder / "munge.socket"
        options = [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
        daemons["munged"] = _start(
            folder, "munged", "--foreground", "--force", f"--socket={munge}", f"--key-file={key}", *options
        )
        _wait(munge.exists, daemons, folder)
        daemons["slurmctld"] = _start(folder, "slurmctld", "-D", "-f", str(configuration))
        daemons["slurmd"] = _start(folder, "slurmd", "-D", "-f", str(configuration))
        _wait(
            lambda: (
                subprocess.run(
                    ["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, encoding="utf-8"
                ).stdout.strip()
                == "idle"
            ),
            daemons,
            folder,
        )
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for daemon in reversed(daemons.values()):
            daemon.terminate()
        for daemon in daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        os.environ["PATH"] = path
        if before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = before
