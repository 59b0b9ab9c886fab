"""Build the book: run what is missing, execute the notebooks, render the pages.

    python -m w2s_lib.book --edition world

Everything lands in ``book/_build/<edition>``: ``html`` (the book, with ``results.csv``, its rows by study seed, and
an RO-Crate's metadata), ``source`` (the pages with the executed notebooks) and ``results``.  What the runs computed
lies in the store, so that an interrupted build goes on where it was, and a second one trains nothing."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from math import inf
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread

import nbformat
import pandas as pd
import yaml

from w2s_lib import digests
from w2s_lib.book import crate, decks, guide
from w2s_lib.book.challenge import BOARD
from w2s_lib.book.chapter import BOOK_TABLES, BUILT, CHAPTERS_BESIDE, CHECKS, ROOT, SCRIPT, open_lab
from w2s_lib.book.own import notes
from w2s_lib.book.pages import EXECUTED, NOTE, PAGE, Pages
from w2s_lib.errors import GOES_ON, Arguments, OneLineError, ParameterError, exit_code
from w2s_lib.figures.card import DPI, card
from w2s_lib.figures.style import SLIDES
from w2s_lib.findings import benchmarks, record
from w2s_lib.findings.mitigations import NEEDS
from w2s_lib.findings.results import ALL, CONFLICTS, read_results, rows_with, usual
from w2s_lib.lab import Lab
from w2s_lib.lab.again import says_of_others
from w2s_lib.lab.graph import closure
from w2s_lib.lab.provenance import hardware, versions
from w2s_lib.lab.shipped import DIGESTS
from w2s_lib.lab.store import Store, replacing
from w2s_lib.progress import Progress, span
from w2s_lib.study import Study
from w2s_lib.study.cost import plan, print_plan
from w2s_lib.study.edition import FOLDER, GOES_ON_FROM, Edition, find, load
from w2s_lib.study.mitigations import EXAMPLE

LEDGER, REPRODUCIBILITY = "14_claims", "99_reproducibility"
"""The notebook that reads what the others published, and the one that reports on the build; executed after them."""

LOCK = ROOT / "requirements.lock"
"""Every package with its version, as whoever executes what comes with the book has them."""

KERNEL = "python3"
"""The kernel of this Python, whatever kernel a notebook was last saved with."""

BOOK = "book.json"
"""What a built book says of itself: all parameters of its edition, and the digest of its ``results.csv``."""

CARD = "card.png"
"""The picture that stands for a built book where its address is shared."""

DONE = "build.json"
"""What a build says of itself, beside the book: when it ended, its wall time, runs trained, commit, machine."""

NOT_SHIPPED = {
    "16_bring_your_own_pairs": "It trains models while it is read.",
    "19_theory": "It reads the weights of models, which a preview does without.",
}
"""Chapters that need more than comes with a preview, and what that is."""

A_NOTEBOOK, THE_PAGES = 25.0, 60.0
"""Seconds that executing a notebook takes on a core, and rendering all pages, where no earlier build has told."""

BENCHMARKS = "98_benchmarks"
"""The notebook that reads the bench file."""

RECORD_CHAPTER = "97_record"
"""The notebook that holds what the others published against the record; executed after them."""

CONFLICT = "05_conflict_tax_deception"
"""The notebook whose headline figure is on the card."""

CHALLENGE = "26_sealed_challenge"
"""The notebook that shows the leaderboard in the store."""

PLAY = "22_play"
"""The notebook that counts what all chapters ask."""

READERS = (RECORD_CHAPTER, LEDGER)

LONGEST_CHAPTERS = ("20", "15", "18", "17", "32", "11")
"""Chapters that take longest to execute, where no earlier build has told."""

READ = {*NEEDS} - {"28_two_remedies"}
"""Notebooks of which another one shows what they found: they begin first, or it would compute that again."""

JUPYTER_BOOK = (
    "from w2s_lib.book.kernels import end_with; end_with({parent}); "
    "from functools import partial; from jupyter_book import sphinx; from jupyter_book.cli.main import main; "
    "sphinx.build_sphinx = partial(sphinx.build_sphinx, jobs={jobs}); main()"
)
"""Its command line, which has no option for several processes.  The book's package comes first: see there."""


class BuildError(OneLineError):
    """A build that failed, in one line."""


def notebook_paths() -> list[Path]:
    """The source notebooks in reading order."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def left_out(source: Path, edition: Edition) -> bool:
    """Whether an edition does without a chapter."""
    return not edition.has_chapter(source.stem.partition("_")[0])


def stand_in(source: Path, edition: Edition) -> nbformat.NotebookNode:
    """The page of a chapter that an edition leaves out: its title, so that links lead somewhere, and why no more."""
    title = nbformat.read(source, as_version=4).cells[0].source.splitlines()[0]
    says = f"{title}\n\nThis chapter is not part of the edition `{edition.name}` ({edition.title})."
    if others := GOES_ON_FROM.get(source.stem.partition("_")[0]):
        links = " and ".join(f"[]({path.name})" for path in notebook_paths() if path.stem[:2] in others)
        says += f" It goes on from {links}, and is in every edition that has {'both' if len(others) > 1 else 'it'}."
    if edition.record_of:
        why = NOT_SHIPPED.get(source.stem, "Its runs do not come with the book.")
        says += f" {why} `make book EDITION={edition.record_of}` builds it with the rest."
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(says)])


def without_docstrings(api: Path, edition: Edition) -> None:
    """Leave of the library's pages, in a preview, their titles and which command builds them: docstrings take long."""
    for page in api.glob("*.md"):
        title = page.read_text(encoding="utf-8").splitlines()[0]
        says = f"A preview does without what stands here: `{command(edition.record_of)}` reads it off the code."
        page.write_text(f"{title}\n\n{says}\n", encoding="utf-8")


def announced(notebook: nbformat.NotebookNode, edition: Edition, its_runs: bool = True) -> nbformat.NotebookNode:
    """The notebook, changed in place: of a preview, it says below its title what it is, and where and when it was
    executed, just now; ``its_runs``: the runs of this chapter come with the book."""
    if whole := edition.record_of:
        own = "whose runs do not come with the book: what it reads was computed where it was executed"
        whose = "whose runs came with the book: no model was trained for it" if its_runs else own
        day, commit = f"{datetime.now(UTC):%d %B %Y}".lstrip("0"), record.commit()
        says = (
            f"This page was made from one study seed of the edition `{whole}`, {whose}. {EXECUTED} on {day}, on "
            f"`{this_machine()}`{f', from commit {commit}' * bool(commit)}. Intervals of one seed speak of other pairs "
            "like these, not of other trainings. Verdicts are read off the record where it holds the chapter, and else "
            f"off this one seed, which says little of others. `make book EDITION={whole}` computes everything anew."
        )
        says = f":::{{admonition}} A preview\n{says}\n:::"
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell(says, id=NOTE))
    return notebook


def this_machine() -> str:
    """One line about this machine and its Python."""
    return f"{hardware()}, Python {versions()['python']}"


def polish(notebook: nbformat.NotebookNode, edition: str = "world") -> nbformat.NotebookNode:
    """An executed notebook as the page wants it, and as readers download it, changed in place.

    Hides the parameter cells (the chapter's own table shows their values), gives each figure the alt
    text and caption that it carries, and forgets paths and times of this machine: of what was injected, readers get
    the ``edition`` alone, a file's by its name, so that a download runs in any clone, on that clone's store.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        tags = cell.metadata.setdefault("tags", [])
        if "injected-parameters" in tags:
            cell.source = f"# Parameters\nedition = {Path(edition).name!r}\n"
        if {"parameters", "injected-parameters"} & set(tags):
            tags.append("remove-cell")
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]  # pages do not show it
        for output in cell.get("outputs", []):
            image = output.get("metadata", {}).get("image/svg+xml", {})
            if "alt" in image:
                render = cell.metadata.setdefault("mystnb", {})
                render["image"] = {"alt": image["alt"], "classes": "dark-light"}
                if image.get("caption"):
                    render["figure"] = {"caption": image["caption"]}
    return notebook


def keep_figures(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Write each figure whose cell is tagged ``keep:<name>`` as ``<name>.svg``, and ``<name>.md`` to include it."""
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("keep:"):
                name, output = tag.removeprefix("keep:"), cell.outputs[-1]
                figure = output.metadata["image/svg+xml"]
                folder.mkdir(exist_ok=True)
                (folder / f"{name}.svg").write_text(output.data["image/svg+xml"], encoding="utf-8")
                options = f":alt: {figure['alt']}\n:class: dark-light"
                says = f"```{{figure}} /{folder.name}/{name}.svg\n{options}\n\n{figure['caption']}\n```\n"
                (folder / f"{name}.md").write_text(says, encoding="utf-8")


SWITCHES = ("W2S_SHIPPED", "W2S_DATA", SLIDES)
"""Environment variables by which a chapter reads other results or texts, or draws more."""


def studied(study: Study) -> str:
    """16 hexadecimal digits that name what every chapter of a study reads: its parameters, and its runs.

    Their keys hold the digests of data and models.
    """
    keys = sorted(run.key for run in closure(study.runs()))
    return digests.digest(json.dumps([study.edition.model_dump(mode="json"), keys]))


def page_key(source: Path, studied: str, read: Sequence[Path] = (), anywhere: bool = False) -> str:
    """16 hexadecimal digits that name all that an executed notebook depends on.

    That is its source, what it studies (``studied``), the library, every edition and what comes with it (some chapters
    read several), the versions of all pinned packages, ``SWITCHES``, and other files that it reads.  ``anywhere``: a
    name for readers with whatever Python and builds of packages; it holds those that ``LOCK`` names.
    """
    library = [path for kind in ("*.py", "*.html", "*.yaml") for path in (ROOT / "w2s_lib").rglob(kind)]
    shipped = [path for kind in ("*.yaml", "*.parquet", "*.json") for path in FOLDER.rglob(kind)]
    files = [source, *library, *(path for path in shipped if path.name != DIGESTS)]  # that names pages, too
    named = sorted((os.path.relpath(path, ROOT), digests.of_file(path)) for path in files)
    named += sorted((path.name, digests.of_file(path)) for path in read)
    made_with = digests.of_file(LOCK) if anywhere else versions()
    return digests.digest(json.dumps([studied, named, made_with, [os.environ.get(name) for name in SWITCHES]]))


def read_by(source: Path, results: Path, store: Path) -> list[Path]:
    """Files that a chapter reads besides: what others published, the bench file, the leaderboard and the submission
    that it explains, all notebooks and ``CHAPTERS_BESIDE``."""
    if source.stem in READERS:
        return sorted(path for path in results.glob("[0-9]*.csv") if path.stem not in (*READERS, REPRODUCIBILITY))
    others = {
        BENCHMARKS: [benchmarks.LAST_BENCH],
        CHALLENGE: [store / BOARD, EXAMPLE],
        PLAY: [results / CHAPTERS_BESIDE, *notebook_paths()],
    }
    return [path for path in others.get(source.stem, ()) if path.is_file()]


def left_behind(source: Path, results: Path) -> dict[str, Path]:
    """The files that a notebook may leave among the results, by what they are called among those of its page."""
    return {f"results.{ending}": results / f"{source.stem}.{ending}" for ending in (*BOOK_TABLES, CHECKS, SCRIPT)}


def put(page: Mapping[str, bytes], source: Path, target: Path, results: Path) -> None:
    """Put the files of an executed notebook where the book wants them."""
    target.write_bytes(page[PAGE])
    for name, path in left_behind(source, results).items():
        if name in page:
            with replacing(path) as draft:
                draft.write_bytes(page[name])
    if b'"keep:' in page[PAGE]:  # else there is nothing to read it for, which takes a while
        keep_figures(nbformat.read(target, as_version=4), target.parent.parent / "figures")


def execute_notebook(
    source: Path, target: Path, parameters: dict, results: Path, studied: str, also: bool = False
) -> float:
    """Put an executed notebook into ``target``, from the store or by papermill; returns the seconds of its execution.

    ``studied`` as of that function.  Only the last notebook, which reports on the build, is executed every time.
    ``also``: one that the edition leaves out is executed all the same.

    Raises:
        BuildError: a cell failed; names the notebook and the error.
    """
    edition = load(parameters["edition"])
    if left_out(source, edition) and not also:
        nbformat.write(stand_in(source, edition), target)
        return 0.0
    store = Store(parameters["store"])
    key = page_key(source, studied, read_by(source, results, store.root))
    page = store.page(key) if source.stem != REPRODUCIBILITY else None
    if page is None:
        seconds = run_notebook(source, target, parameters, results)
        left = {name: path for name, path in left_behind(source, results).items() if path.exists()}
        page = {PAGE: target.read_bytes(), "seconds": str(seconds).encode()}
        page |= {name: path.read_bytes() for name, path in left.items()}
        if source.stem != REPRODUCIBILITY:
            store.keep_page(key, page)
    put(page, source, target, results)
    return float(page["seconds"])


def run_notebook(source: Path, target: Path, parameters: dict, results: Path) -> float:
    """Execute one notebook with papermill into ``target``, ready for the page; returns its wall time in seconds.

    Raises:
        BuildError: a cell failed; names the notebook and the error.
    """
    from w2s_lib.book import kernels

    kernels.use()
    os.environ["W2S_RESULTS"] = str(results)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # a page wants no widgets
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # a user's own kernel of that name may be another Python
    start, edition = time.perf_counter(), load(parameters["edition"])
    polished = polish(_executed(source, parameters), parameters["edition"])
    nbformat.write(announced(polished, edition, its_runs=not left_out(source, edition)), target)
    return time.perf_counter() - start


def _executed(source: Path, parameters: dict) -> nbformat.NotebookNode:
    """A notebook as papermill executes it."""
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    plain = str(source).replace("{", "{{").replace("}", "}}")  # papermill would fill in braces
    quiet = ["--IPKernelApp.log_level=50"]  # kernels talk over the loopback interface, or are interrupted, and say so
    how = {"cwd": str(ROOT / "notebooks"), "progress_bar": False, "extra_arguments": quiet}
    how |= {"kernel_name": KERNEL, "language": "python"}
    for again in (True, False):
        try:
            return papermill.execute_notebook(plain, None, parameters, **how)  # else it is written at every cell
        except PapermillExecutionError as error:
            says = " ".join(str(error.evalue).split())
            raise BuildError(f"{source.name}, cell {error.cell_index}: {error.ename}: {says}") from None
        except NoSuchKernel:
            raise BuildError(f"kernel {KERNEL!r}: this Python has none; pip install ipykernel") from None
        except (DeadKernelError, RuntimeError) as error:
            # jupyter_client has no class of its own for a kernel that dies while it starts: killed, or since another
            # process took a port that had been free a moment before
            starting = not isinstance(error, DeadKernelError)
            if starting and "Kernel died" not in str(error):
                raise
            if not (starting and again):
                died = "its kernel died, killed perhaps for want of memory"
                raise BuildError(f"{source.name}: {died}; {GOES_ON}") from None


def seconds_after_runs(times: dict[str, float], workers: int) -> float:
    """How long notebooks and pages will take, by the ``times`` of an earlier build where there was one.

    >>> seconds_after_runs({"14_claims": 100.0}, workers=2) - seconds_after_runs({"14_claims": 40.0}, workers=2)
    30.0
    """
    notebooks = sum(times.get(path.stem, A_NOTEBOOK) for path in notebook_paths())
    return notebooks / max(workers, 1) + THE_PAGES


def times_before(results: Path) -> dict[str, float]:
    """Seconds of each notebook in the build that left its results there; of none where there was none."""
    try:
        return json.loads((results / "times.json").read_text(encoding="utf-8"))["chapters"]
    except (OSError, ValueError, KeyError):
        return {}


def _leave_with_the_build() -> None:
    """Ctrl-C in a terminal reaches all processes: the first says what is to be said, those of notebooks just end, as
    they do when it is killed; else they would wait for work for ever."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    Thread(target=lambda: (parent_process().join(), os._exit(130)), daemon=True).start()


@contextmanager
def drawing(for_slides: bool) -> Iterator[None]:
    """Whether notebooks that are executed meanwhile draw their figures for slides as well."""
    before = os.environ.get(SLIDES)
    os.environ[SLIDES] = "yes" if for_slides else "no"
    try:
        yield
    finally:
        os.environ.pop(SLIDES)
        if before is not None:
            os.environ[SLIDES] = before


@contextmanager
def notebook_processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that execute notebooks; on Ctrl-C, and when this one is killed, they end, their kernels with them.

    Raises:
        BuildError: one was killed.
    """
    with ProcessPoolExecutor(max(workers, 1), get_context("spawn"), _leave_with_the_build) as pool:
        try:
            yield pool
        except BaseException as error:
            for process in active_children() if isinstance(error, KeyboardInterrupt) else ():
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise BuildError(f"a process that executes notebooks was killed; {GOES_ON}") from None
            raise


def longest_first(paths: Iterable[Path], before: dict[str, float]) -> list[Path]:
    """Notebooks in the order in which they begin: none that takes long is left to the end, when others are done."""
    by_habit = {number: place for place, number in enumerate(reversed(LONGEST_CHAPTERS), 1)}
    return sorted(paths, key=lambda path: (-before.get(path.stem, 0.0), -by_habit.get(path.stem[:2], 0)))


def fitting(paths: Iterable[Path], pages: Pages | None, studied: str, results: Path, store: str | Path) -> list[Path]:
    """The chapters whose page is among those that come with the book, and as it would be made here."""
    key = lambda path: page_key(path, studied, read_by(path, results, Path(store)), anywhere=True)
    return [path for path in paths if pages and pages.has(path.stem, key(path))]


def execute_all(
    target: Path,
    results: Path,
    parameters: dict,
    workers: int,
    studied: str,
    before: dict[str, float],
    pages: Pages | None = None,
    also: Collection[Path] = (),
) -> dict[str, float]:
    """Execute every chapter, several at a time, by the times ``before`` the longest first but for what is ``READ``,
    ``READERS`` after the others and the last one after them; wall time by chapter.

    Those whose page is among ``pages`` are not executed; of those that the edition leaves out, ``also`` are.
    """
    others = longest_first((path for path in notebook_paths() if path.stem not in (*READERS, REPRODUCIBILITY)), before)
    others.sort(key=lambda path: path.stem not in READ)
    *readers, last = (ROOT / "notebooks" / f"{name}.ipynb" for name in (*READERS, REPRODUCIBILITY))
    times: dict[str, float] = {}
    every, edition = len(notebook_paths()), load(parameters["edition"])
    progress, came = Progress("notebooks", every), []

    def rest(paths: list[Path]) -> list[Path]:
        """Put the pages that come with the book; returns the other paths."""
        for path in (fits := fitting(paths, pages, studied, results, parameters["store"])):
            put(pages.files(path.stem), path, target / path.name, results)
            times[path.stem] = 0.0
        came.extend(fits)
        return [path for path in paths if path not in fits]

    with notebook_processes(workers) as pool:
        start = lambda path: pool.submit(
            execute_notebook, path, target / path.name, parameters, results, studied, path in also
        )
        jobs = {start(path): path for path in rest(others)}
        for job in as_completed(jobs):
            name, took = jobs[job].name, round(job.result(), 1)
            times[jobs[job].stem] = took
            left = span(progress.left(len(times) / every) + THE_PAGES)
            print(f"  {name}: {took:.0f} s; {len(times)} of {every}, about {left} left", flush=True)
        jobs = {start(path): path for path in rest(readers)}
        times |= {path.stem: round(job.result(), 1) for job, path in jobs.items()}
        runs = json.loads((results / "runs.json").read_text(encoding="utf-8"))
        told = json.dumps({"chapters": dict(sorted(times.items())), **runs})
        (results / "times.json").write_text(told, encoding="utf-8")
        times[REPRODUCIBILITY] = round(start(last).result(), 1)
    if pages:
        without = sum(left_out(path, edition) and path not in came for path in notebook_paths())
        here = every - len(came) - without
        print(f"{len(came)} pages come with the book, {here} were executed here, {without} are left out", flush=True)
    return times


def draw_card(source: Path) -> None:
    """Draw the card from this build's results, before the pages are rendered: their program needs no library for it."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    found = usual(rows_with(read_results(source / "results.csv"), chapter=CONFLICT), weak=ALL)
    drawn = card(found[found["condition"].isin(CONFLICTS)], list(CONFLICTS), cited["title"], cited["abstract"])
    about = {"Description": drawn.alt, "Software": None}
    drawn.canvas.savefig(source / CARD, dpi=DPI, transparent=False, metadata=about)


def jupyter_book(source: Path, output: Path, builder: str = "html", workers: int = 1) -> Path:
    """Build what a builder of Jupyter Book makes of the pages; returns its folder.  Of HTML, warnings are errors.

    Pages that are as the last time are taken from there, unless it was broken off: what it left may be cut.  Pages are
    read and written in as many processes as there are ``workers``.

    Raises:
        BuildError: Jupyter Book found something wrong.
    """
    log, begun = output / "jupyter-book.log", output / ".begun"
    if begun.exists():
        shutil.rmtree(output / "_build", ignore_errors=True)
    begun.touch()
    # one more: Sphinx counts the process that hands out pages among those that write them
    program = [sys.executable, "-c", JUPYTER_BOOK.format(jobs=max(workers, 1) + 1, parent=os.getpid())]
    command = [*program, "build", str(source), "--path-output", str(output), "--builder", builder]
    command += ["-W", "-n", "--keep-going"] if builder == "html" else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=environment).returncode
    if code < 0:
        raise BuildError(f"jupyter-book was killed; {GOES_ON}")
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line or "Error" in line]
        first = (told or lines[-1:] or ["it said nothing"])[0]
        if any("finished with problems" in line for line in lines) and to_be_read_again(told, source, output):
            begun.unlink()
        raise BuildError(f"jupyter-book failed ({len(told)} warnings or errors; first: {first}); see {log}")
    begun.unlink()
    return output / "_build" / builder


def to_be_read_again(told: list[str], source: Path, output: Path) -> bool:
    """Have the pages that warnings name read anew the next time, as pages tell of what is wrong where they are read.

    False where a warning names no page: then all are to be read anew.  What is told of links goes with no page.
    """
    for line in (line for line in told if re.search("(WARNING|ERROR|CRITICAL):", line)):
        page = re.match(rf"(?:\x1b\[[\d;]*m)*{re.escape(str(source))}/(.+)\.(?:md|ipynb)(?::\d*)?: ", line)
        if page is None:
            return False
        (output / "_build" / ".doctrees" / f"{page[1]}.doctree").unlink(missing_ok=True)
    return True


def render_book(source: Path, output: Path, workers: int = 1) -> Path:
    """Build the HTML, and put it in the place of the last one's when it is whole; returns its folder.

    Raises:
        BuildError: Jupyter Book found something wrong.
    """
    html, draft = output / "html", output / ".html"
    made = jupyter_book(source, output, workers=workers)
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(made, draft)
    shutil.rmtree(html, ignore_errors=True)
    draft.rename(html)
    return html


def book_folder(edition: Edition, output: str | None = None) -> Path:
    """Where the book of an edition is built."""
    return Path(output).expanduser().absolute() if output else BUILT / edition.name


def notebook_parameters(edition: str, lab: Lab) -> dict[str, object]:
    """What notebooks are given: the edition by its name, or by its path where it is a file of the reader's own."""
    path = find(edition)
    given = path.stem if path.parent == FOLDER else str(path)
    return {"edition": given, "store": str(lab.store.root), "workers": lab.workers}


def command(edition: str) -> str:
    """The command that builds the book of an edition."""
    return shlex.join(["make", "book", f"EDITION={edition}"])


def built(edition: str, output: str | None = None) -> Path:
    """The folder of a book's HTML.

    Raises:
        ParameterError: bad parameters, or it has not been built.
    """
    html = book_folder(load(edition), output) / "html"
    if not (html / "index.html").is_file():
        says = f"not built yet; run {command(edition)} first"
        raise ParameterError("edition", edition, says)
    return html


def lay_out(edition: Edition, folder: Path) -> tuple[list[Path], list[Path]]:
    """Begin the folder of a book anew: the sources of its pages, and no results.

    Returns the chapters that the edition has, and those of them that get slides.
    """
    source, results = folder / "source", folder / "results"
    for path in (source, results):
        shutil.rmtree(path, ignore_errors=True)
    results.mkdir(parents=True)
    shutil.copytree(ROOT / "book", source, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    (source / "notebooks").mkdir()
    if edition.record_of:
        without_docstrings(source / "api", edition)
    shown = [path for path in notebook_paths() if not left_out(path, edition)]
    decked = [] if edition.record_of else shown  # of a preview, ``slides`` makes them for whoever asks
    guide.take_over(source / "teaching", ROOT / "notebooks", [path.stem for path in decked])
    return shown, decked


def gather(edition: Edition, source: Path, results: Path) -> None:
    """Put what the chapters left beside their pages: tables, scripts, the card; and what the book says of itself."""
    for ending, name in BOOK_TABLES.items():
        tables = [pd.read_csv(path, dtype="str") for path in sorted(results.glob(f"[0-9]*.{ending}"))]
        pd.concat(tables).drop_duplicates().to_csv(source / name, index=False)
    for path in results.glob(f"[0-9]*.{SCRIPT}"):
        shutil.copy(path, source / "assets")
    says = {"edition": edition.model_dump(mode="json"), "results": digests.of_file(source / "results.csv")}
    (source / BOOK).write_text(json.dumps(says), encoding="utf-8")
    draw_card(source)


say = partial(print, flush=True)


def _do_runs(study: Study) -> dict[str, int]:
    """Do the runs of a study on a lab, and say what there is to say of them; returns how many were ``trained``, of how
    many in ``total``."""
    lab, runs = study.lab, study.runs()
    total, missing = len(closure(runs)), len(lab.missing(runs))
    say(f"edition {study.edition.name}: {total} runs, {missing} of them missing; store {lab.store.root}")
    say(f"runs first, then notebooks and pages, which take about {span(lab.then)}; Ctrl-C stops, {GOES_ON}")
    for note in notes(study, here=True):
        say(note)
    trained = lab.run(runs)
    for said in filter(None, (lab.says_of_code(runs), says_of_others(lab, runs))):
        say(said)
    return {"trained": trained, "total": total}


def build_book(edition: str, store: str | None = None, workers: int | None = None, output: str | None = None) -> Path:
    """Build one edition; returns the folder of the HTML.

    Raises:
        OneLineError: bad parameters, an unusable store, a failed run, notebook or page.
    """
    start = time.perf_counter()
    study = Study(load(edition))
    record.comparable_records(study.edition)  # what is wrong with it is said before anything is trained
    lab = open_lab(store, workers, study.edition)
    pages = Pages(lab.shipped) if lab.shipped else None
    made = {"commit": record.commit(), "where": this_machine()}
    folder = book_folder(study.edition, output)
    source, results = folder / "source", folder / "results"
    before = times_before(results)
    shown, decked = lay_out(study.edition, folder)
    of, not_shown = studied(study), (path for path in notebook_paths() if path not in shown)
    with drawing(for_slides=bool(decked)):
        also = fitting(not_shown, pages, of, results, lab.store.root)
        (results / CHAPTERS_BESIDE).write_text(json.dumps([path.stem for path in also]), encoding="utf-8")
        fits = fitting((p for p in notebook_paths() if p.stem not in READERS), pages, of, results, lab.store.root)
    before |= {path.stem: 0.0 for path in fits}
    lab.then = seconds_after_runs(before, lab.workers)

    counts = _do_runs(study.on(lab)) | {"run_seconds": round(time.perf_counter() - start, 1)}
    (results / "runs.json").write_text(json.dumps(counts), encoding="utf-8")

    say("executing the notebooks")
    with drawing(for_slides=bool(decked)):
        execute_all(source / "notebooks", results, notebook_parameters(edition, lab), lab.workers, of, before, pages)
    gather(study.edition, source, results)

    say("rendering the pages")
    html, name = render_book(source, folder, lab.workers), study.edition.name
    if decked:
        decks.write_decks(source, study.edition, decked, html / "slides")
    crate.write_crate(html, study.edition, lab.records(study.runs()))
    took, now = time.perf_counter() - start, datetime.now(UTC).isoformat(timespec="minutes")
    made |= counts | {"seconds": round(took, 1), "finished": now}
    (folder / DONE).write_text(json.dumps(made), encoding="utf-8")
    say(f"{name}: {took:.0f} s, {counts['trained']} runs trained; open {html / 'index.html'}")
    return html


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book", description=__doc__.splitlines()[0])
    which = "name of an edition, or path of an edition file (default: world)"
    parser.add_argument("--edition", default="world", help=which)
    parser.add_argument("--store", help="folder of results (default: $W2S_STORE, else .store)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--output", help="where to build (default: book/_build/<edition>)")
    dry = "say what would be run, and what it would take; run nothing"
    parser.add_argument("--dry-run", action="store_true", help=dry)
    where = "say where the built book is; build nothing"
    parser.add_argument("--where", action="store_true", help=where)
    links = "ask whether all that the built book links to is still there; build nothing"
    parser.add_argument("--links", action="store_true", help=links)
    parser.add_argument("--price", type=float, help="with --dry-run: euros an hour of a GPU")
    given = parser.parse_args(arguments)

    def do() -> None:
        if given.price is not None and not 0 <= given.price < inf:
            raise ParameterError("price", given.price, "must be a number of euros, 0 or more")
        if given.where or given.links:
            html = built(given.edition, given.output)
            print(jupyter_book(html.parent / "source", html.parent, "linkcheck") if given.links else html)
        elif given.dry_run:
            study = Study(load(given.edition))
            record.comparable_records(study.edition)
            lab = open_lab(given.store, given.workers, study.edition)
            lab.check(study.runs(), planning=True)
            for note in notes(study, here=True):
                print(note)
            print_plan(plan(study, lab=lab), given.price)
        else:
            build_book(given.edition, given.store, given.workers, given.output)

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
