"""What a notebook opens, and refuses to open."""

import numpy as np
import pandas as pd
import pytest

from tests import planted
from w2s_lib.book.build import notebook_paths
from w2s_lib.book.chapter import open_chapter
from w2s_lib.errors import ParameterError
from w2s_lib.findings.results import COLUMNS, ROWS, pick, read_results
from w2s_lib.lab.store import StoreError
from w2s_lib.study import Study
from w2s_lib.study.edition import load


@pytest.fixture
def given(tmp_path):
    return {
        "edition": "smoke",
        "seeds": None,
        "weak_strong_pairs": None,
        "threshold": None,
        "alpha": None,
        "store": str(tmp_path),
        "workers": 0,
    }


def test_defaults_come_from_the_edition(given):
    chapter = open_chapter("05_x", given)
    assert chapter.study.edition.threshold == 0.52 and chapter.study.edition.seeds == (7,)


def test_parameters_replace_what_the_edition_says(given):
    e = open_chapter(
        "05_x", given | {"threshold": 0.9, "weak_strong_pairs": "tiny-24 -> tiny-36", "seeds": 5}
    ).study.edition
    assert (e.threshold, e.weak_strong_pairs, e.seeds) == (0.9, ("tiny-24 -> tiny-36",), (5,))


def test_an_edition_that_stands_beside_another_is_not_computed_anew(given, monkeypatch):
    monkeypatch.setenv("W2S_SHIPPED", "no")
    mine, other = load("hh-smol-tuned"), load("hh-smol")
    chapter = open_chapter("15_real_models_and_data", given | {"edition": mine.name})
    assert chapter.lab_of(mine) is chapter.lab and chapter.lab.shipped is None
    beside = chapter.lab_of(other)
    assert beside.store.root == chapter.lab.store.root and not beside.missing(Study(other).student_runs())
    assert not [path.name for path in notebook_paths() if "open_lab" in path.read_text(encoding="utf-8")]


def test_an_unknown_parameter_is_refused_with_the_nearest_name(given):
    with pytest.raises(ParameterError, match="treshold=0.9: no such parameter; did you mean 'threshold'?"):
        open_chapter("05_x", given | {"treshold": 0.9})


def test_a_parameter_by_its_old_name_is_refused_with_the_new_one(given):
    with pytest.raises(ParameterError, match=r"^pairs=\['tiny-24 -> tiny-44'\]: is called weak_strong_pairs now$"):
        open_chapter("05_x", given | {"pairs": ["tiny-24 -> tiny-44"]})


def test_the_notebooks_own_variables_are_not_taken_for_parameters_when_a_cell_runs_again(given):
    chapter = open_chapter("05_x", given)
    assert open_chapter("05_x", given | {"chapter": chapter, "n": 3}).name == "05_x"


def cells(given, *own: str) -> dict:
    """A notebook's variables, and the cells that set them: those of a reader, the parameters', papermill's."""
    sources = [
        "",
        *own,
        "edition: str = 'world'  # name\nseeds: list = None",
        "# Parameters\nedition = 'smoke'\nstore = 'x'",
    ]
    namespace: dict = {}
    for source in sources:
        exec(source, namespace)
    return namespace | given | {"In": [*sources, "chapter = open_chapter('05_x', globals()); methods = 3"]}


@pytest.mark.parametrize(
    "own", ["for i in range(3):\n    total = i", "n, seed = 5, 7", "%matplotlib inline", "x = [1]"]
)
def test_a_readers_own_variables_are_no_parameters(given, own):
    """Loops', those of own cells, and what IPython's start-up files set, which stands in no cell."""
    own = () if own.startswith("%") else (own,)
    namespace = cells(given, *own) | {"my_default": 3, "In": ["%matplotlib inline", *cells(given, *own)["In"]]}
    assert open_chapter("05_x", namespace).study.edition.name == "smoke"


@pytest.mark.parametrize(
    "cell", ["# Parameters\ntreshold = 0.9", "edition = 'world'\ntreshold: float = 0.9  # its name was changed"]
)
def test_what_is_set_beside_parameters_is_one(given, cell):
    with pytest.raises(ParameterError, match="treshold=0.9: no such parameter; did you mean 'threshold'?"):
        open_chapter("05_x", cells(given, cell))


def test_what_the_running_cell_sets_later_is_no_parameter(given):
    """Chapter 12 takes its methods in the cell that opens it."""
    namespace = cells(given)
    namespace["In"].append(
        "chapter = open_chapter('12_preference_optimisation', globals())\nmethods = chapter.study.edition.methods"
    )
    assert open_chapter("12_preference_optimisation", namespace).study.edition.name == "smoke"


def test_papermill_may_inject_paths(given):
    paths = "# Parameters\nPAPERMILL_INPUT_PATH = 'a.ipynb'\nPAPERMILL_OUTPUT_PATH = 'b.ipynb'"
    assert open_chapter("05_x", cells(given, paths)).name == "05_x"


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("seeds", "[7, 8]", (7, 8)),
        ("seeds", " [7]", (7,)),
        ("seeds", "7, 8", (7, 8)),
        ("seeds", "7", (7,)),
        ("seeds", 7, (7,)),
        ("weak_strong_pairs", "[tiny-24 -> tiny-44]", ("tiny-24 -> tiny-44",)),
        (
            "weak_strong_pairs",
            '["tiny-24 -> tiny-44", "tiny-24->tiny-28"]',
            ("tiny-24 -> tiny-44", "tiny-24 -> tiny-28"),
        ),
    ],
)
def test_a_list_may_be_given_as_text(given, name, text, read):
    """papermill's -p hands it on so."""
    assert getattr(open_chapter("05_x", given | {name: text}).study.edition, name) == read


@pytest.mark.parametrize("text", ["[7, 8", "[010]", "[a: b: c]"])
def test_a_text_that_is_no_list_is_refused_with_the_way_to_write_one(given, text):
    with pytest.raises(ParameterError, match=r"seeds=.*: is no list; write it as in -y 'seeds: \[one, another\]'"):
        open_chapter("05_x", given | {"seeds": text})


def test_an_empty_edition_is_not_the_default_one(given):
    with pytest.raises(ParameterError, match="edition='': no such edition"):
        open_chapter("05_x", given | {"edition": ""})


def test_some_chapters_take_more_parameters_and_the_others_refuse_them(given):
    e = open_chapter("12_preference_optimisation", given | {"methods": "dpo", "dpo_beta": 0.2}).study.edition
    assert (e.methods, e.recipe("dpo").beta) == (("dpo",), 0.2)
    with pytest.raises(ParameterError, match="dpo_beta=0.2: no such parameter; .*allowed: edition, seeds"):
        open_chapter("05_x", given | {"dpo_beta": 0.2})


@pytest.mark.parametrize("workers", [-1, 1.5, "two", True])
def test_bad_workers(given, workers):
    with pytest.raises(ParameterError, match="workers=.*whole number"):
        open_chapter("05_x", given | {"workers": workers})


def test_bad_store(given, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        open_chapter("05_x", given | {"store": str(tmp_path / "file" / "x")})
    with pytest.raises(ParameterError, match="store=3"):
        open_chapter("05_x", given | {"store": 3})


def test_published_rows_are_tidy_and_written_where_the_build_asks(given, tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    chapter = open_chapter("05_x", given)
    row = dict.fromkeys(ROWS, 0) | {"versus": "", "run_keys": "a b", "by_seed": ((7, 0.0, 0.0, 1.0),)}
    told = chapter.publish(pd.DataFrame([row]))
    chapter.publish(pd.DataFrame([row | {"value": 1}, row | {"value": 2, "run_keys": "a"}]))
    chapter.publish(pd.DataFrame([row]), edition="other")
    frame, runs = read_results(tmp_path / "05_x.csv"), pd.read_csv(tmp_path / "05_x.runs", dtype="str")
    assert (
        list(frame.columns) == list(COLUMNS) and list(told.columns) == list(ROWS) and (len(frame), len(told)) == (4, 1)
    )
    assert frame["edition"].tolist() == ["smoke"] * 3 + ["other"] and set(frame["chapter"]) == {"05_x"}
    assert frame.merge(runs, on="runs")["run_keys"].tolist() == ["a b", "a b", "a", "a b"], (
        "what was published before is kept"
    )
    assert list(runs.columns) == ["runs", "run_keys"] and len(runs) == 2


def test_a_chapter_that_says_the_same_row_again_publishes_it_once(given, tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    chapter = open_chapter("05_x", given)
    for _ in range(2):
        chapter.publish(pd.DataFrame([dict.fromkeys(ROWS, 0) | {"run_keys": "a b", "by_seed": ((7, 0.0, 0.0, 1.0),)}]))
    assert len(read_results(tmp_path / "05_x.csv")) == 1 and not list(tmp_path.glob(".*")), (
        "nothing half-written is left"
    )


def test_rows_are_not_written_outside_a_build(given, tmp_path, monkeypatch):
    monkeypatch.delenv("W2S_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    open_chapter("05_x", given).publish(
        pd.DataFrame([dict.fromkeys(ROWS, 0) | {"run_keys": "a b", "by_seed": ((7, 0.0, 0.0, 1.0),)}])
    )
    assert not list(tmp_path.rglob("*.csv")) and not list(tmp_path.rglob("*.runs"))


def test_other_chapters_are_read_as_published_and_found_anew_outside_a_build(given, tmp_path, monkeypatch):
    def finding(study):
        return None, pd.DataFrame({"value": [2.0]})

    chapter = open_chapter("14_x", given)
    monkeypatch.delenv("W2S_RESULTS", raising=False)
    assert chapter.found("05_x", finding)["value"].tolist() == [2.0]
    pd.DataFrame({"value": [1.0]}).to_csv(tmp_path / "05_x.csv", index=False)
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    assert chapter.found("05_x", finding)["value"].tolist() == [1.0]
    assert chapter.found("06_x", finding)["value"].tolist() == [2.0]


def test_a_chapter_reads_anothers_rows_as_it_would_find_them(given, tmp_path, monkeypatch):
    """Also those whose names are empty, which a file of comma-separated values cannot tell from missing numbers."""
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    rows = planted.pooled(
        {"statistic": "pgr", "value": v, "versus": versus} for v, versus in ((0.5, ""), (0.1, "rerun"))
    )
    open_chapter("05_x", given).publish(
        rows.assign(sd=np.nan, n_seeds=1, n_pairs=9, counted=np.nan, run_keys="a b", by_seed=[()] * len(rows))
    )
    there = open_chapter("14_x", given).found("05_x", lambda study: pytest.fail("not read"))
    assert (
        pick(there, "pgr", "explicit")["value"] == 0.5
        and pick(there, "pgr", "explicit", versus="rerun")["value"] == 0.1
    )


def test_the_parameter_table_escapes(given):
    chapter = open_chapter("05_x", given)
    object.__setattr__(chapter.study.edition, "title", "<script>alert(1)</script>")
    assert "<script>" not in chapter._repr_html_() and "&lt;script&gt;" in chapter._repr_html_()


def test_a_run_is_named_by_the_first_chapter_that_rests_on_it(given, tmp_path, monkeypatch):
    for name, keys in (("05_x", ["a b", "b"]), ("07_y", ["b c", None])):
        pd.DataFrame({"runs": ["1", "2"], "run_keys": keys}).to_csv(tmp_path / f"{name}.runs", index=False)
    chapter = open_chapter("99_x", given)
    monkeypatch.delenv("W2S_RESULTS", raising=False)
    assert chapter.first_uses() == {}
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    assert chapter.first_uses() == {"a": "05_x", "b": "05_x", "c": "07_y"}
