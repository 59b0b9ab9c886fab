"""Kernels that begin with the library imported: a chapter starts in a tenth of a second, and not in four.

``jupyter_client`` leaves to a provisioner how a kernel comes to be.  This one asks Python's fork server
(``multiprocessing``), which has imported what every chapter imports, for a copy of itself.  Each copy is a process and
a namespace of its own, as any kernel is.  Where forking is not safe once libraries are loaded (macOS), or is not known
(Windows), kernels start as ever.
"""

import multiprocessing
import os
import signal
import sys
import time
from importlib.metadata import EntryPoint
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

PROVISIONER = "forked"

IMPORTED = (
    "w2s_lib.book", "ipykernel.kernelapp", "matplotlib.backends.backend_svg", "myst_nb", "w2s_lib.book.build",
    "w2s_lib.book.tables",
    *(f"w2s_lib.figures.{path.stem}" for path in sorted((Path(__file__).parents[1] / "figures").glob("[a-z]*.py"))),
)  # fmt: skip
"""What the fork server imports; none of it starts a thread, which a copy would lack."""


class Copy:
    """A copy of the fork server as ``subprocess.Popen`` would show it, as far as provisioners ask."""

    stdin = stdout = stderr = None

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self.process, self.pid = process, process.pid
        self.kill, self.terminate = process.kill, process.terminate

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self.process.exitcode

    def wait(self) -> int | None:
        """Wait for its end; returns the exit code."""
        self.process.join()
        return self.process.exitcode

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)


class Forked(LocalProvisioner):
    """Starts kernels as copies of the fork server."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        folder, environment = kwargs.get("cwd") or os.getcwd(), dict(kwargs.get("env") or os.environ)
        environment.pop("JPY_PARENT_PID", None)  # of a Jupyter that this process was started from
        process = context.Process(target=serve, args=(cmd[cmd.index("-f") :], str(folder), environment))
        process.start()
        self.process = Copy(process)
        self.pid = self.pgid = process.pid  # ``serve`` begins a session, as jupyter_client's own kernels do
        self.cwd = folder
        return self.connection_info


def serve(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be a kernel, in a session of its own, until it is told to end or its client is gone."""
    from ipykernel.kernelapp import IPKernelApp
    from zmq import ZMQError

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["ipykernel_launcher", *arguments]
    Thread(target=_end_with_client, daemon=True).start()
    try:
        IPKernelApp.launch_instance(argv=arguments)
    except ZMQError:  # another process took one of its ports; who asked for the kernel asks for another
        os._exit(1)


def _end_with_client() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os.killpg(os.getpid(), signal.SIGKILL)  # with all that it has started


def end_with(parent: int) -> None:
    """Have this process end within a second of ``parent``, which started it, and copies of it within one of it.

    A copy that writes to a process that was killed would wait for ever: copies hold the other end of their own pipes.
    """

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    begin = lambda parent: Thread(target=watch, args=[parent], daemon=True).start()
    begin(parent)
    who = [parent]
    os.register_at_fork(before=lambda: who.append(os.getpid()), after_in_child=lambda: begin(who[-1]))


def use() -> None:
    """Have this process's kernels forked, where that is safe."""
    if sys.platform == "linux":
        factory = KernelProvisionerFactory.instance()
        factory.provisioners[PROVISIONER] = EntryPoint(PROVISIONER, f"{__name__}:{Forked.__name__}", factory.GROUP_NAME)
        factory.default_provisioner_name = PROVISIONER
