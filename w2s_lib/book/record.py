"""Make an edition's record, or add seeds to it: ``make record SEEDS=500-507``.

Seed by seed, what the store lacks is trained, and the seed's statistics are written as soon as they are whole:
interrupt it whenever you like, the same command goes on from there, and a second one does nothing.

With ``--spread``, models of the pilot worlds are made several times, and how they spread is left beside the record.
"""

import re
import sys
from pathlib import Path

from w2s_lib.book.chapter import open_lab
from w2s_lib.errors import Arguments, exit_code
from w2s_lib.findings import record, spread
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.seeds import SPREAD, of_record


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.record", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", help="such as 500-507 or 500,502")
    parser.add_argument("--edition", default="world", help="name of an edition (default: world)")
    parser.add_argument("--store", help="folder of results (default: $W2S_STORE, else .store)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--folder", help="where the record lies (default: with the edition)")
    parser.add_argument("--beside", metavar="NAME", help="folder record-NAME, of the chapters that no other one holds")
    parser.add_argument("--merge", metavar="FOLDER", help="another record, whose seeds are added to it")
    parser.add_argument("--spread", action="store_true", help="measure on pilots what a seed's spread is made of")
    given = parser.parse_args(arguments)
    if given.seeds is None and given.merge is None and not given.spread:
        parser.error("one of --seeds, --merge and --spread is needed")
    if given.beside is not None:
        if given.folder or given.spread:
            parser.error(f"--beside={given.beside!r}: not together with {'--folder' if given.folder else '--spread'}")
        if not re.fullmatch("[a-z0-9-]+", given.beside):
            parser.error(f"--beside={given.beside!r}: must be a name of lower-case letters, digits and hyphens")

    def do() -> None:
        seeds = of_record(given.seeds) if given.seeds else []
        study = Study(load(given.edition))
        if given.spread:
            frame = spread.measure_pilots(study.on(open_lab(given.store, given.workers, study.edition)), SPREAD)
            print(f"{frame['seed'].nunique()} pilot worlds in {spread.path_of(study.edition)}")
            return
        folder = Path(given.folder) if given.folder else record.record_folder(study.edition, given.beside or "")
        record.opened(folder, study.edition)
        if (folder / record.ABOUT).is_file():
            record.load_record(folder)
        if given.merge:
            new = record.merge(folder, Path(given.merge), study.edition)
            chapters = lambda folder: {*record.load_record(folder).frame["chapter"]}
            left = chapters(Path(given.merge)) - chapters(folder)
            without = f", without {record.numbers_in_words(left)}: this record does not hold them" if left else ""
            print(f"{len(new)} new seeds from {given.merge}{without}", flush=True)
        study = study.on(open_lab(given.store, given.workers, study.edition)) if seeds else study
        for seed in seeds:
            done = record.add_seed(study, seed, folder)
            print(f"seed {seed}: {'added' if done else 'there already'}", flush=True)
        print(f"{len(record.load_record(folder).seeds)} seeds in {folder}")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
