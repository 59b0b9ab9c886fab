"""``python -m tests.faults.train STORE WORKERS``: five small runs into a store, as a process of its own, to do harm
to."""

import sys

from tests.small import RERUN, STUDENT
from w2s_lib.errors import exit_code
from w2s_lib.lab import Lab


def main(store: str, workers: str) -> int:
    return exit_code(lambda: Lab(store, workers=int(workers), progress=False).run([STUDENT, RERUN]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
