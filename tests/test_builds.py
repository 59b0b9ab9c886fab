"""A build is told as it was: when, where, how long, and what it decides otherwise than the record."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from w2s_lib import digests
from w2s_lib.book import build, builds, compare
from w2s_lib.errors import ParameterError
from w2s_lib.findings.claims import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
TOLD = {"seconds": 1805.2, "finished": "2026-11-29T10:40+00:00", "trained": 12, "total": 630}
TOLD |= {"commit": "0123456789ab+", "where": "a machine of then, Python 3.12.1"}


def ledger(**verdicts: str) -> pd.DataFrame:
    return pd.DataFrame({"claim": list(verdicts), "verdict": list(verdicts.values())})


@pytest.mark.parametrize(
    ("here", "there", "told"),
    [
        ("yes", "yes", (0, 0)), ("yes", "no", (1, 0)), ("small", "yes", (1, 0)), ("no", "undecided", (0, 1)),
        ("blind", "yes", (0, 1)), ("undecided", "blind", (0, 0)), ("untested", "yes", (0, 0)),
        ("no", "untested", (0, 0)),
    ],
)  # fmt: skip
def test_what_is_decided_otherwise_is_told_from_what_is_not_decided(here, there, told):
    otherwise, undecided = builds.changes(ledger(A="yes", B=here), ledger(B=there, A="yes"))
    assert (len(otherwise), len(undecided)) == told and {*otherwise, *undecided} <= {"B"}


@pytest.fixture
def book(shelf, tmp_path, monkeypatch) -> tuple[str, Path]:
    """A built book of real rows: the path of its edition, and the history that its row goes into."""
    root = tmp_path / "project"
    shutil.copytree(Path(shelf[0]).parent, root)
    monkeypatch.setattr(build, "BUILT", root / "book" / "_build")
    monkeypatch.setattr(builds, "ROOT", root)
    (root / "book" / "_build" / "one" / build.DONE).write_text(json.dumps(TOLD), encoding="utf-8")
    shutil.copy(ROOT / builds.HISTORY, root / builds.HISTORY)
    return str(root / "one.yaml"), root / builds.HISTORY


@pytest.mark.slow
def test_a_build_is_told_once_before_those_that_were(book, capsys):
    edition, history = book
    before = pd.read_csv(history, dtype="str")
    assert builds.main(["--edition", edition]) == 0 and builds.main(["--edition", edition]) == 0
    rows = pd.read_csv(history, dtype="str", keep_default_na=False)
    assert list(rows.columns) == list(builds.HISTORY_COLUMNS) and len(rows) == len(before) + 1
    one = rows.iloc[0]
    results = history.parent / "_build" / "one" / "html" / "results.csv"
    assert one["results"] == digests.of_file(results) and one["minutes"] == "30" and one["edition"] == "one"
    assert one["when"] == TOLD["finished"] and one["runs trained"] == "12 of 630"
    assert (one["commit"], one["where"]) == (TOLD["commit"], TOLD["where"]), "of the build, and not of the telling"
    assert one["decided otherwise"] == "no record" and one["undecided"] == "", "this edition comes with no record"
    assert ", ".join(one) in capsys.readouterr().out


@pytest.mark.slow
def test_an_editions_own_rows_are_held_against_its_record(shelf, tmp_path, monkeypatch):
    """Two seeds of the record by themselves, told as the edition that comes with all of them."""
    html = Path(shelf[0]).parent / "book" / "_build" / "one" / "html"
    rows = compare.read_results(html / "results.csv")
    whole = build.load("world").model_copy(update={"seeds": (21, 22)})
    own = compare.Built(whole, html, rows, compare._verdicts(whole, rows))
    otherwise, undecided = builds.changes(builds.ledger(builds.record.by_chapter(rows)), own.verdicts)
    assert undecided and set(undecided) <= set(CLAIMS) and not set(otherwise) & set(undecided)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda edition, path: (path.parent / "_build" / "one" / build.DONE).unlink(), "does not say how it was built"),
        (
            lambda edition, path: (path.parent / "_build" / "one" / build.DONE).write_text("{", encoding="utf-8"),
            "does not say how it was",
        ),
        (
            lambda edition, path: (path.parent / "_build" / "one" / build.DONE).write_text(
                json.dumps({**TOLD} | {"seconds": "long"}), encoding="utf-8"
            ),
            "does not say how it was built",
        ),
        (
            lambda edition, path: path.write_text("when,who\n", encoding="utf-8"),
            "history='.*': must have the columns when, edition",
        ),
        (lambda edition, path: (path.parent / "_build" / "one" / "html" / "index.html").unlink(), "not built yet"),
    ],
)
def test_what_cannot_be_told_is_one_line_and_changes_nothing(book, harm, says, capsys):
    harm(*book)
    before = book[1].read_bytes()
    assert builds.main(["--edition", book[0]]) == 2
    told = capsys.readouterr().err
    assert re.search(says, told) and told.count("\n") == 1 and book[1].read_bytes() == before


def test_a_real_build_says_how_it_went(build_folder, tmp_path):
    shutil.copy(ROOT / builds.HISTORY, tmp_path)
    told = builds.tell("smoke", str(build_folder / "book"), tmp_path / builds.HISTORY.name)
    trained, total = map(int, told["runs trained"].split(" of "))
    assert 0 < trained <= total and told["decided otherwise"] == "no record" and "Python 3." in told["where"]
    html = build_folder / "book" / "html"
    assert pd.read_csv(html / "builds.csv").columns.tolist() == list(builds.HISTORY_COLUMNS)
    assert all(name in (html / "last-builds.html").read_text(encoding="utf-8") for name in builds.HISTORY_COLUMNS)
    with pytest.raises(ParameterError, match="not built yet"):
        builds.history_row("smoke", str(tmp_path))


def test_the_weekly_run_begins_with_nothing_and_tells_its_build():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))["jobs"]
    steps = jobs["build"]["steps"]
    weekly = [step for step in steps if step.get("if") == "github.event_name == 'schedule'"]
    (told,) = [step["run"] for step in weekly]
    assert told == ".venv/bin/python -m w2s_lib.book.builds --edition world && make book"
    (cached,) = [step for step in steps if "cache" in step.get("uses", "")]
    assert cached["if"] == "github.event_name != 'schedule'"
    ran = [step.get("run", "") for step in steps]
    assert ran.index("make book") < ran.index(told) < ran.index("make links")
    assert sum("builds.csv" in step for step in ran[: ran.index("make book")]) == 1, "what the last book told goes on"
    commands = "\n".join(str(step.get("run", "")) for job in jobs.values() for step in job["steps"])
    targets = set(re.findall(r"make ([a-z-]+)", commands))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == {"lint", "test-quick", "preview", "book", "links"} and ".ci/run" in commands
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
