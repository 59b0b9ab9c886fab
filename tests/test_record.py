"""The record: planted seeds are written, merged, refused and held against a build's own numbers; nothing is trained."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from tests.planted import USUAL
from w2s_lib.book import build
from w2s_lib.book import record as command
from w2s_lib.book.chapter import open_chapter
from w2s_lib.figures import (
    conflict,
    controls,
    early_warning,
    gap,
    generalization,
    mechanism,
    mitigations,
    objectives,
    policies,
)
from w2s_lib.figures.record import power_panel, within_prediction
from w2s_lib.findings import record, spread
from w2s_lib.findings.claims import CLAIMS, FINDINGS, PLANTED_IN, verdict
from w2s_lib.findings.early_warning import WATCHED
from w2s_lib.findings.record import RecordError
from w2s_lib.findings.results import (
    ALL,
    BY_SEED,
    CONFLICTS,
    MARKS,
    NAMES,
    by_seed,
    marked,
    pick,
    reads,
    say,
    summarise,
    usual,
)
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.measures.intervals import prediction_interval, seeds_for
from w2s_lib.measures.variance import best_replicas, components
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.seeds import PLANNED_LATER, SEEDS, of_record

WORLD = load("world")
CHAPTER = "05_conflict_tax_deception"
STATISTICS = ("net_change", "excess_margin_matched", "conflict_tax")


def planted(seed: int, statistics=STATISTICS, chapter=CHAPTER) -> pd.DataFrame:
    """What ``record.seed_statistics`` gives of a seed, with normal values."""
    rng = np.random.default_rng(seed)
    usual = USUAL | {
        "edition": "world",
        "chapter": chapter,
        "seed": seed,
        "weak": ALL,
        "strong": ALL,
        "counted": np.nan,
    }
    rows = [
        usual | {"statistic": s, "versus": v, "value": rng.normal(0.05, 0.02)}
        for s in statistics
        for v in ("", "rerun")
    ]
    return record.sorted_rows(pd.DataFrame(rows, columns=list(BY_SEED)))


def as_planted(runs) -> dict:
    """What the planted record says of any seed's runs."""
    return {"runs": 187, "run_keys": "0" * 16}


def entry() -> dict:
    told = as_planted([]) | {"run_seconds": 600, "seconds": 60, "hardware": ["planted"]}
    return told | {"commit": "0", "date": "2026-11-28"}


def write(folder, seeds, edition=WORLD, **also):
    for seed in seeds:
        record._write(folder, edition, {seed: planted(seed, **also)}, {str(seed): entry()})
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "record", range(400, 406))


@pytest.fixture
def ours(folder, monkeypatch):
    """The planted record stands where the edition's own would."""
    monkeypatch.setattr(record, "record_folder", lambda edition, beside="": folder)
    return folder


# Seeds


def test_no_seed_has_two_purposes_and_editions_report_those_that_are_reported():
    ranges = sorted(SEEDS.values(), key=lambda seeds: seeds.start)
    assert all(before.stop <= after.start for before, after in zip(ranges, ranges[1:]))
    assert set(WORLD.seeds) == set(SEEDS["reported"])
    apart = [
        seed for name in ("recipes", "pilots", "record") for seed in load("world-large").seeds if seed in SEEDS[name]
    ]
    assert not apart


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("21-23", "21 is none of the record's; they begin at 400"),
        ("431-400", "must be seeds or ranges"),
        ("400,x", "must be seeds or ranges"),
        ("", "must be seeds or ranges"),
        ("400,399-401", "every seed may occur once"),
        ("399", "399 is none of the record's"),
    ],
)
def test_bad_seeds_are_refused_in_one_line(text, says, capsys, tmp_path):
    with pytest.raises(ValueError, match=says):
        of_record(text)
    if text:
        assert command.main(["--seeds", text, "--folder", str(tmp_path), "--store", str(tmp_path / "s")]) == 2
        assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "s").exists()


# Writing, merging


def test_a_record_is_read_as_it_was_written(folder):
    read = record.load_record(folder)
    assert read.seeds == list(range(400, 406)) and list(read.frame.columns) == list(BY_SEED)
    pd.testing.assert_frame_equal(
        read.frame, record.sorted_rows(pd.concat(map(planted, range(400, 406)))), check_dtype=False
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_records_of_disjoint_seeds_merge_to_the_same_in_any_order(tmp_path, order):
    parts = [write(tmp_path / str(i), seeds) for i, seeds in enumerate([(400, 404), (401,), (402, 403)])]
    for i in order:
        record.merge(tmp_path / "all", parts[i], WORLD)
    at_once = write(tmp_path / "at once", range(400, 405))
    pd.testing.assert_frame_equal(record.load_record(tmp_path / "all").frame, record.load_record(at_once).frame)
    for path in at_once.iterdir():
        assert (tmp_path / "all" / path.name).read_bytes() == path.read_bytes()


def test_merging_again_changes_nothing_and_another_seed_of_that_number_is_refused(tmp_path, folder):
    assert record.merge(folder, write(tmp_path / "other", [405, 406]), WORLD) == [406]
    assert record.merge(folder, tmp_path / "other", WORLD) == []
    frame = planted(400).assign(value=0.0)
    record._write(tmp_path / "third", WORLD, {400: frame}, {"400": entry()})
    with pytest.raises(RecordError, match=r"seed-400.parquet: seed 400 is in .*, too, with other numbers"):
        record.merge(folder, tmp_path / "third", WORLD)


def test_a_seed_with_a_statistic_that_the_others_lack_is_refused_and_the_record_stays_as_it_is(folder, tmp_path):
    """A new condition's row, say: written, it would stop every build that reads the record."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    says = r"record: seed 40\d: chapter 05_.*, statistic .* is missing; "
    for seed, statistics in ((406, (*STATISTICS, "pgr")), (406, STATISTICS[1:])):
        with pytest.raises(RecordError, match=f"{says}name another folder"):
            write(folder, [seed], statistics=statistics)
    write(tmp_path / "mine", [406, 407], statistics=(*STATISTICS, "pgr"))
    with pytest.raises(RecordError, match=f"{says}keep .*mine apart, or make its seeds again"):
        record.merge(folder, tmp_path / "mine", WORLD)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_seed_that_would_have_other_rows_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    """Since the record was made the chapter has come to ask for one more run, of a new condition say."""
    study, here = Study(WORLD).on(Lab(tmp_path / "store", workers=0, progress=False)), record.of_chapters
    its = record._named(closure(here(study, 400, [CHAPTER]).runs()))
    record._write(tmp_path, WORLD, {400: planted(400)}, {"400": entry() | its})
    asked = []
    monkeypatch.setattr(Lab, "run", lambda lab, runs: asked.append(runs) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record.add_seed(study, 401, tmp_path)
    monkeypatch.setattr(
        record,
        "of_chapters",
        lambda study, seed, names: here(study, seed, [*names, "08_mechanism", "07_nulls_and_controls"]),
    )
    says = "seed 400 comes from other runs than it would today, and seed 401 would have other rows; name another folder"
    with pytest.raises(RecordError, match=says):
        record.add_seed(study, 401, tmp_path)
    assert len(asked) == 1


def test_the_books_record_takes_new_seeds():
    """What today's code asks for is what its seeds came from; else a new scheme is due."""
    folder = record.record_folder(WORLD)
    its = closure(record.of_chapters(Study(WORLD), 400, record.chapters_of(folder, WORLD)).runs())
    assert record._named(its).items() <= record.load_record(folder).about["seeds"]["400"].items()


def test_a_seed_joins_a_record_with_the_chapters_that_it_has(folder, tmp_path, monkeypatch):
    """Others have come to the ledger since: a seed that is added has no rows of theirs, nor trains their runs."""
    assert record.chapters_of(folder, WORLD) == [CHAPTER]
    every = record.chapters_of(tmp_path / "new", WORLD)
    assert every == list(FINDINGS)
    study = Study(WORLD)
    few, all_of_them = (
        {run.key for run in record.of_chapters(study, 406, names).runs()} for names in ([CHAPTER], every)
    )
    assert few < all_of_them <= {run.key for run in study.one_of_many(406).runs()}
    monkeypatch.setattr(Study, "runs", lambda study: [])
    monkeypatch.setattr(record, "_named", as_planted)
    monkeypatch.setattr(record, "FINDINGS", dict.fromkeys(FINDINGS, lambda study: ([], study.edition.seeds[0])))
    monkeypatch.setattr(record, "by_seed", lambda seed, edition, name: planted(seed).assign(chapter=name))
    assert record.add_seed(study.on(Lab(tmp_path / "store", workers=0, progress=False)), 406, folder)
    assert set(record.load_record(folder).frame["chapter"]) == {CHAPTER} and 406 in record.load_record(folder).seeds


def test_a_wider_record_is_merged_in_the_chapters_that_are_there_and_a_narrower_one_refused(folder, tmp_path):
    more = pd.concat([planted(406), planted(406).assign(chapter="19_theory")])
    record._write(tmp_path / "wider", WORLD, {406: record.sorted_rows(more)}, {"406": entry()})
    assert record.merge(folder, tmp_path / "wider", WORLD) == [406]
    assert set(record.load_record(folder).frame["chapter"]) == {CHAPTER} and 406 in record.load_record(folder).seeds
    assert record.merge(folder, tmp_path / "wider", WORLD) == []
    told, runs = (
        record.load_record(folder).about["seeds"]["406"],
        record.of_chapters(Study(WORLD), 406, [CHAPTER]).runs(),
    )
    assert told["runs"] == len(closure(runs)) < entry()["runs"], "those of the chapters that are there"
    assert told["run_keys"] == record.digests.digest("\n".join(sorted(run.key for run in closure(runs))))
    before = {path.name: path.read_bytes() for path in (tmp_path / "wider").iterdir()}
    with pytest.raises(RecordError, match="chapter 19_theory is missing, which the record in .*wider has"):
        record.merge(tmp_path / "wider", write(tmp_path / "narrower", [408]), WORLD)
    assert {path.name: path.read_bytes() for path in (tmp_path / "wider").iterdir()} == before


def test_what_nobody_noted_is_missing_and_the_sum_says_so(ours, tmp_path):
    assert record.core_hours(record.seed_entries(WORLD)) == "1.0"
    wider = pd.concat([planted(406), planted(406).assign(chapter="19_theory")])
    record._write(tmp_path / "wider", WORLD, {406: record.sorted_rows(wider)}, {"406": entry()})
    record.merge(ours, tmp_path / "wider", WORLD)
    seeds = record.seed_entries(WORLD)
    assert seeds["core_minutes"].isna().tolist() == [False] * 6 + [True] == seeds["statistics_minutes"].isna().tolist()
    assert record.core_hours(seeds) == "at least 1.0"


def test_a_seed_that_is_there_is_not_made_again(folder):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert record.add_seed(Study(WORLD), 403, folder) is False, "it has no lab: anything else would fail"
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_the_command_goes_on_where_it_was(folder, tmp_path, capsys, monkeypatch):
    made = []
    monkeypatch.setattr(
        record, "seed_statistics", lambda study, names: made.extend(study.edition.seeds) or planted(made[-1])
    )
    monkeypatch.setattr(Study, "runs", lambda study: [])
    monkeypatch.setattr(record, "_named", as_planted)
    asked = ["--folder", str(folder), "--store", str(tmp_path / "store"), "--workers", "0", "--seeds", "404-407"]
    assert command.main(asked) == 0 and made == [406, 407]
    assert "seed 405: there already\nseed 406: added" in capsys.readouterr().out
    assert command.main(asked) == 0 and made == [406, 407]
    assert record.load_record(folder).seeds == list(range(400, 408))
    told = record.load_record(folder).about["seeds"]["407"]
    assert {"runs", "run_keys", "versions", "hardware", "run_seconds", "commit", "code", "date"} <= told.keys()


# Refusals


def change_about(folder, **fields):
    about = json.loads((folder / record.ABOUT).read_text(encoding="utf-8"))
    (folder / record.ABOUT).write_text(json.dumps(about | fields), encoding="utf-8")


def as_named(folder, seed):
    """Make ``record.json`` name the file as it is now: what is wrong with it is not that it was changed."""
    about = json.loads((folder / record.ABOUT).read_text(encoding="utf-8"))
    about["seeds"][str(seed)]["file"] = record.digests.of_file(folder / f"seed-{seed}.parquet")
    change_about(folder, **about)


def cut_short(folder):
    path = folder / "seed-402.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def rewrite(folder, seed, frame):
    frame.to_parquet(folder / f"seed-{seed}.parquet")
    as_named(folder, seed)


BAD = {
    "cut short": (cut_short, "seed-402.parquet: cannot be read"),
    "changed": (
        lambda f: planted(402).assign(value=0.0).to_parquet(f / "seed-402.parquet"),
        "seed-402.parquet: seed 402 was cut short or changed",
    ),
    "gone": (lambda f: (f / "seed-402.parquet").unlink(), "seed-402.parquet: seed 402 is missing"),
    "no JSON": (lambda f: (f / record.ABOUT).write_text("{", encoding="utf-8"), "record.json: cannot be read"),
    "an entry cut short": (
        lambda f: change_about(f, seeds={"402": {name: 0 for name in record.ENTRY[:-1]}}),
        "record.json: seed 402: its file is missing",
    ),
    "scheme": (lambda f: change_about(f, scheme="2.1"), "record.json: its scheme is '2.1', here it is"),
    "a file twice": (
        lambda f: shutil.copy(f / "seed-402.parquet", f / "seed-500.parquet"),
        "seed-500.parquet: seed 402 twice: it is in seed-402.parquet, too",
    ),
    "rows twice": (
        lambda f: rewrite(f, 402, pd.concat([planted(402)] * 2)),
        "seed-402.parquet: seed 402: chapter 05_conflict_tax_deception, statistic conflict_tax, "
        "method reward_model, condition explicit occurs twice",
    ),
    "a stranger": (lambda f: planted(409).to_parquet(f / "seed-409.parquet"), "seed 409 is not in record.json"),
    "a statistic missing": (
        lambda f: rewrite(f, 402, planted(402, STATISTICS[1:])),
        "seed-402.parquet: seed 402: chapter 05_conflict_tax_deception, statistic net_change, "
        "method reward_model, condition explicit is missing",
    ),
    "a column missing": (
        lambda f: rewrite(f, 402, planted(402).drop(columns="versus")),
        "seed-402.parquet: no column 'versus'",
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_record_is_refused_in_one_line_before_anything_runs(folder, tmp_path, capsys, monkeypatch, how):
    spoil, says = BAD[how]
    spoil(folder)
    with pytest.raises(RecordError) as error:
        record.load_record(folder)
    assert says in str(error.value)
    store = tmp_path / "store"
    assert command.main(["--seeds", "410", "--folder", str(folder), "--store", str(store)]) == 2
    assert (said := capsys.readouterr().err).count("\n") == 1 and says in said and not store.exists()
    monkeypatch.setattr(record, "record_folder", lambda edition, beside="": folder)
    for also in ([], ["--dry-run"]):
        assert build.main(["--store", str(store), "--output", str(tmp_path / "book"), *also]) == 2
        assert (said := capsys.readouterr().err).count("\n") == 1 and says in said and not store.exists()


@pytest.mark.parametrize(
    ("arguments", "edition", "says"),
    [
        (["--edition", "smoke"], None, "its edition is 'world', here it is 'smoke'"),
        ([], load("world", {"alpha": 1.0}), "its parameters is "),
    ],
)
def test_another_edition_or_recipe_adds_nothing(folder, tmp_path, capsys, monkeypatch, arguments, edition, says):
    if edition:
        monkeypatch.setattr(command, "load", lambda name: edition)
    asked = ["--seeds", "410", "--folder", str(folder), "--store", str(tmp_path / "store"), *arguments]
    assert command.main(asked) == 2
    assert (said := capsys.readouterr().err).count("\n") == 1 and says in said and not (tmp_path / "store").exists()


def test_seeds_and_what_costs_nothing_are_no_parameters_of_a_record():
    same = load("world", {"seeds": [400], "draws": 100, "title": "another"})
    assert record.parameters_digest(same) == record.parameters_digest(WORLD)
    assert record.parameters_digest(load("world", {"threshold": 0.8})) != record.parameters_digest(WORLD)


# Reading


def test_a_record_is_read_where_parameters_are_its_own(ours):
    assert record.comparable_records(WORLD)["record"].seeds == list(range(400, 406))
    assert record.record_in_words(WORLD) == "The record holds 6 study seeds, from 400 to 405."
    for fields, says in (
        ({"alpha": 1.0}, "other parameters"),
        ({"seeds": [405, 406]}, "seed 405 of this page is one of its own"),
    ):
        other = load("world", fields)
        assert not record.comparable_records(other) and says in record.record_in_words(other)


def test_without_a_record_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "record_folder", lambda edition: tmp_path)
    says = "No record comes with the edition world"
    assert not record.comparable_records(WORLD) and record.record_in_words(WORLD).startswith(says)


LATER = "29_competence_and_conformity"


@pytest.fixture
def two(ours):
    """Beside the planted record another one, of a later chapter and of fewer seeds."""
    write(ours.with_name("record-later"), range(440, 444), chapter=LATER, statistics=("conflict_tax",))
    return ours


def test_a_record_beside_the_first_holds_what_the_first_lacks(two):
    assert [folder.name for folder in record.record_folders(WORLD)] == ["record", "record-later"]
    rows = record.rows_of(WORLD)
    assert rows.groupby("chapter")["seed"].nunique().to_dict() == {CHAPTER: 6, LATER: 4}
    over = record.summarise_record(rows)
    assert set(over.loc[over["chapter"] == LATER, "n_seeds"]) == {4} and set(over["n_seeds"]) == {4, 6}
    assert record.seed_entries(WORLD)["record"].tolist() == ["record"] * 6 + ["record-later"] * 4
    says = "The record holds 6 study seeds, from 400 to 405."
    assert record.record_in_words(WORLD, CHAPTER) == says
    assert record.record_in_words(WORLD) == f"{says} Another one, of chapter 29, holds 4 study seeds, from 440 to 443."
    assert record.record_in_words(WORLD, LATER) == "The record holds 4 study seeds, from 440 to 443."
    assert set(record.rows_of(load("world", {"seeds": [440, 444]}))["chapter"]) == {CHAPTER}, "its own seed"


def test_a_claim_of_fewer_seeds_stays_as_its_last_one_left_it(folder):
    paths = record.verdict_paths(record.load_record(folder).frame)
    first = paths["claim"].iloc[0]
    panel = power_panel(paths[(paths["claim"] != first) | (paths["n_seeds"] <= 4)])
    assert [state["n"] for state in panel.states] == [2, 3, 4, 5, 6]
    of_first, others = zip(*((state["marks"][0], state["marks"][1:]) for state in panel.states))
    assert of_first[2] == of_first[3] == of_first[4] != of_first[1] and others[4] != others[2]
    assert "A claim of fewer seeds stays" in panel.html and "fewer seeds" not in power_panel(paths).html


def test_a_new_record_holds_the_chapters_that_those_beside_it_lack(two):
    names = record.chapters_of(two.with_name("record-new"), WORLD)
    assert set(FINDINGS) - set(names) == {CHAPTER, LATER}
    assert record.chapters_of(two.with_name("record-later"), WORLD) == [LATER], "what its seeds have, and no more"
    assert set(record.chapters_of(two.parent / "elsewhere" / "record", WORLD)) == set(FINDINGS)


def test_a_record_beside_those_that_hold_every_chapter_is_refused_before_anything_runs(two, tmp_path):
    lab = Lab(tmp_path / "store", workers=0, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "FINDINGS", {CHAPTER: None, LATER: None})
        with pytest.raises(RecordError, match="record-more: the records beside it hold every chapter"):
            record.add_seed(Study(WORLD).on(lab), 460, two.with_name("record-more"))
    assert not two.with_name("record-more").exists()


@pytest.mark.parametrize("name", ["", "../elsewhere", "two words", "Works"])
def test_a_name_that_no_folder_beside_the_first_can_have_is_one_line(name, capsys):
    for given, says in (
        ([f"--beside={name}"], f"--beside={name!r}: must be a name"),
        (["--beside=works", "--folder=mine"], "--beside='works': not together with --folder"),
        (["--beside=works", "--spread"], "--beside='works': not together with --spread"),
    ):
        with pytest.raises(SystemExit, match="2"):
            command.main(["--seeds", "500", *given])
        assert (said := capsys.readouterr().err).count("\n") == 1 and says in said


def test_no_chapter_is_in_two_records(two):
    write(two.with_name("record-too"), [450], chapter=LATER, statistics=("conflict_tax",))
    with pytest.raises(RecordError, match=f"record-too: record-later holds {LATER}, too; keep one of them elsewhere"):
        record.comparable_records(WORLD)


def test_a_folder_of_another_name_is_no_record(two):
    for name in ("record.bak", "record 2", "record_old"):
        shutil.copytree(two, two.with_name(name))
    assert list(record.comparable_records(WORLD)) == ["record", "record-later"]


def test_neighbours_are_told_by_where_they_lie_and_what_they_are_of(two, tmp_path):
    again = two.rename(two.with_name("put-aside"))
    assert LATER not in record.chapters_of(two, WORLD) and CHAPTER in record.chapters_of(two, WORLD), "the first anew"
    elsewhere = tmp_path / "class"
    write(elsewhere / "record-anna", [500])
    assert set(record.chapters_of(elsewhere / "record-ben", WORLD)) == set(FINDINGS), "of two students"
    other = load("world", {"alpha": 1.0})
    assert set(record.chapters_of(again.with_name("record-mine"), other)) == set(FINDINGS), "of other parameters"


def test_a_record_that_is_merged_into_a_new_one_brings_no_chapter_that_another_holds(two, tmp_path, capsys):
    every = [planted(500), planted(500, ("conflict_tax",), "30_label_again"), planted(500, ("conflict_tax",), LATER)]
    other = tmp_path / "class" / "mine"
    record._write(other, WORLD, {500: record.sorted_rows(pd.concat(every))}, {"500": entry()})
    assert record.merge(two.with_name("record-mine"), other, WORLD) == [500]
    assert set(record.rows_of(WORLD)["chapter"]) == {CHAPTER, LATER, "30_label_again"}
    with pytest.raises(RecordError, match="record-more hold all of its chapters"):
        record.merge(two.with_name("record-more"), other, WORLD)
    assert not two.with_name("record-more").exists()


def test_a_merge_says_which_chapters_it_leaves_out(two, tmp_path, capsys):
    both = [planted(500), planted(500, ("conflict_tax",), LATER)]
    other = tmp_path / "class" / "mine"
    record._write(other, WORLD, {500: record.sorted_rows(pd.concat(both))}, {"500": entry()})
    assert command.main(["--merge", str(other)]) == 0
    assert f"1 new seeds from {other}, without chapter 29: this record does not hold them" in capsys.readouterr().out


def test_verdicts_and_what_stands_here_are_of_the_same_rows(two, tmp_path):
    """A build of more seeds than one of the records has is held against the other alone."""
    asked = lambda **p: open_chapter("14_claims", p | {"edition": "world", "store": str(tmp_path / "store")})
    assert set(asked().record_rows["chapter"]) == {CHAPTER, LATER}
    five = asked(seeds=[21, 22, 23, 24, 25])
    assert set(five.record_rows["chapter"]) == {CHAPTER}
    own = record.numbers_in_words(set(FINDINGS) - {CHAPTER})
    assert five.read_off == f"Verdicts are read off the record, those of {own} off this build."
    assert asked(seeds=list(range(21, 29))).read_off == "Verdicts are read off this build."


def test_where_the_first_record_cannot_be_compared_the_other_still_can(two):
    edition = load("world", {"seeds": [405, 21, 22]})
    assert list(record.comparable_records(edition)) == ["record-later"]
    says = record.record_in_words(edition)
    assert "seed 405 of this page is one of its own. Another one, of chapter 29, holds 4 study seeds" in says
    pilots = pd.DataFrame({name: [60.0] for name in spread.COST_COLUMNS})
    assert spread.costs_of_record(pilots, edition) is None and spread.costs_of_record(pilots, WORLD) is not None


def test_a_chapter_has_the_seeds_of_the_record_that_holds_it(two, tmp_path):
    asked = lambda name, **p: open_chapter(name, p | {"edition": "world", "store": str(tmp_path / "store")})
    assert [asked(name).n_seeds for name in (CHAPTER, LATER)] == [6, 4]
    assert "The record holds 4 study seeds, from 440 to 443" in asked(LATER).stands_beside
    five = asked(LATER, seeds=[21, 22, 23, 24, 25])
    assert five.n_seeds == 5 and five.stands_beside.endswith("So the numbers of this chapter are this build's own.")
    assert asked("30_label_again").stands_beside.startswith("The record does not hold this chapter. So the numbers")


def test_the_record_that_comes_along_holds_every_chapter_that_the_ledger_reads():
    assert set(record.rows_of(WORLD)["chapter"]) == set(FINDINGS)
    beside = record.load_record(record.record_folder(WORLD, "works"))
    assert set(beside.seeds) >= set(PLANNED_LATER), "all that were planned"


def test_intervals_are_those_of_results(folder):
    frame = record.load_record(folder).frame
    rows = record.summarise_record(frame)
    per_seed = frame.assign(draws=None, draws_counted=None, run_keys=[("k",)] * len(frame), n_pairs=1)
    wanted = summarise(per_seed).assign(chapter=CHAPTER)
    numbers = [*record.ROW, "value", "low", "high", "sd", "n_seeds"]
    pd.testing.assert_frame_equal(rows[numbers], wanted[numbers])


def test_rows_by_seed_say_what_the_rows_say(folder):
    rows = record.summarise_record(record.load_record(folder).frame)
    long = by_seed(rows, "world", CHAPTER)
    assert list(long.columns) == list(BY_SEED) and len(long) == 6 * len(rows)
    again = record.summarise_record(long)
    pd.testing.assert_frame_equal(again[[*NAMES, "value", "low", "high"]], rows[[*NAMES, "value", "low", "high"]])
    assert by_seed(rows.iloc[:0], "world", CHAPTER).empty


def test_prediction_intervals_cover_the_mean_of_new_seeds():
    rng, studies = np.random.default_rng(1), 4000
    for known, new in ((8, 3), (32, 3), (30, 1)):
        values = rng.normal(0.3, 0.1, size=(studies, known + new))
        old, fresh = values[:, :known], values[:, known:].mean(axis=1)
        low, high = prediction_interval(old.mean(axis=1), old.std(axis=1, ddof=1), known, new)
        assert 100 * np.mean((low <= fresh) & (fresh <= high)) == pytest.approx(95, abs=2)


def test_prediction_intervals_cover_skewed_shares_as_well_where_there_are_many_seeds():
    """Taxes differ between seeds by factors; with eight seeds such a mean is predicted 92 times in 100."""
    rng = np.random.default_rng(1)
    values = 0.05 * np.exp(rng.normal(0, 0.6, size=(4000, HELD + 3)))
    old, fresh = values[:, :HELD], values[:, HELD:].mean(axis=1)
    low, high = prediction_interval(old.mean(axis=1), old.std(axis=1, ddof=1), HELD, 3)
    assert 100 * np.mean((low <= fresh) & (fresh <= high)) == pytest.approx(95, abs=2)


def test_prediction_by_hand(folder):
    frame = record.load_record(folder).frame
    prediction = lambda frame, n: record.predicted(rows := record.summarise_record(frame), np.full(len(rows), n))
    row = pick(prediction(frame, 3), "net_change", "explicit")
    values = frame.query("statistic == 'net_change' and versus == ''")["value"]
    half = 2.5705818 * values.std() * np.sqrt(1 / 6 + 1 / 3)
    assert row["value"] == pytest.approx(values.mean()) and row["high"] - row["value"] == pytest.approx(half)
    tax = pick(prediction(frame.assign(value=frame["value"] / 10 + 0.001), 1), "conflict_tax", "explicit")
    assert tax["low"] >= 0, "a share stays one"


def live(frame: pd.DataFrame, seeds) -> pd.DataFrame:
    """What a build of these planted seeds publishes."""
    return record.summarise_record(record.sorted_rows(pd.concat(map(planted, seeds))))


def test_a_build_is_held_against_the_record(folder):
    frame = record.load_record(folder).frame
    rows = live(frame, [21, 22, 23])
    found = record.replication(rows, frame)
    assert len(found) == 6 and found["replicated"].all()
    rows.loc[0, "value"] = 5.0
    found = record.replication(rows, frame)
    assert found["replicated"].tolist() == [False] + [True] * 5
    assert record.replicated_in_words(found) == (
        "Replicated here: 5 of 6. Were all independent, 5.7 would lie within on average, "
        "and fewer than 4 in at most one build of forty."
    )
    rows.loc[1, "value"] = np.nan
    assert len(record.replication(rows, frame)) == 5, "what is undefined is not counted"
    still = frame.assign(value=frame["value"].where(frame["versus"] != "", 0.5))
    assert len(record.replication(live(frame, [21]), still)) == 3, "what is alike in every seed cannot fail"
    assert "nothing" in record.replicated_in_words(found.iloc[:0])


def test_true_builds_replicate_nineteen_times_in_twenty():
    many = [f"net_change_{i}" for i in range(250)]  # each a study of its own
    frame, build = (
        record.sorted_rows(pd.concat(planted(seed, many) for seed in s)) for s in (range(400, 408), (21, 22, 23))
    )
    found = record.replication(record.summarise_record(build), frame)
    assert len(found) == 500 and 100 * found["replicated"].mean() == pytest.approx(95, abs=3)


def test_what_claims_are_read_off(folder):
    rows = record.summarise_record(record.load_record(folder).frame)
    mine = record.of_claims(rows)
    wanted = [c for c in CLAIMS.values() if c.can_fail and c.chapter == CHAPTER and c.names["condition"] == "explicit"]
    wanted = [c for c in wanted if c.names["statistic"] in STATISTICS]
    assert 0 < len(mine) <= len(wanted) and not mine.duplicated(record.ROW).any()
    needed = record.seeds_needed(rows).set_index("claim")
    assert needed.loc["C2a", "seeds_needed"] == seeds_for(CLAIMS["C2a"].least_effect, needed.loc["C2a", "sd"])
    assert set(record.by_chapter(rows)) == set(record.FINDINGS) and len(record.by_chapter(rows)[CHAPTER]) == len(rows)


def test_seeds_for_is_the_least_number_with_that_power():
    from w2s_lib.measures.intervals import power

    for effect, sd in ((0.05, 0.05), (0.01, 0.05), (0.02, 0.03)):
        n = int(seeds_for(effect, sd))
        assert power(effect, sd, n) >= 0.8 > power(effect, sd, n - 1)
    assert seeds_for(1.0, 0.001) == 2 and np.isnan(seeds_for(0.1, np.nan))
    sizes = np.arange(0.5, 12.0, 0.5)
    assert all(power(size, 1.0, n) <= power(size + 0.5, 1.0, n) <= 1 + 1e-9 for size in sizes for n in (2, 3, 8, 32))
    assert seeds_for(7.0, 1.0) == 3, "where the far end of the noncentral t has no number"


# What a spread is made of


def test_variance_components_are_those_that_were_planted():
    rng, found = np.random.default_rng(3), []
    planted = {"world": 0.04, "pretraining": 0.02, "training": 0.01, "pairs": 0.09}
    for _ in range(40):
        shape, value, rows = (12, 2, 3, 4), 0.5, {}
        for depth, (name, variance) in enumerate(planted.items(), 1):
            drawn = rng.normal(0, np.sqrt(variance), size=shape[:depth])
            value = value + drawn.reshape(shape[:depth] + (1,) * (4 - depth))
            rows[name] = np.indices(shape)[depth - 1].ravel()
        frame = pd.DataFrame(rows | {"value": np.broadcast_to(value, shape).ravel()}).sample(frac=1, random_state=0)
        found.append(components(frame, list(planted)))
    assert pd.DataFrame(found).mean().to_dict() == pytest.approx(planted, rel=0.15)


def test_components_agree_with_a_mixed_model():
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"seed": np.repeat(np.arange(20), 5), "replica": np.tile(np.arange(5), 20)})
    frame["value"] = rng.normal(0, 0.2, 20)[frame["seed"]] + rng.normal(0, 0.1, 100)
    fit = smf.mixedlm("value ~ 1", frame, groups=frame["seed"]).fit(reml=True)
    found = components(frame, ["seed", "replica"])
    assert found["seed"] == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=0.02)
    assert found["replica"] == pytest.approx(fit.scale, rel=0.02)


def test_components_need_replicates():
    frame = pd.DataFrame({"seed": [0, 0, 1], "replica": [0, 1, 0], "value": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="replica: as many units are needed everywhere"):
        components(frame, ["seed", "replica"])
    with pytest.raises(ValueError, match="name no single measurement"):
        components(frame, ["seed"])


@pytest.mark.parametrize(
    ("arguments", "best"), [((1, 4, 300, 10), 11), ((4, 1, 300, 10), 3), ((1, 0, 3, 1), 1), ((9, 1, 1, 1), 1)]
)
def test_best_replicas_buy_the_most(arguments, best):
    assert best_replicas(*arguments) == best


# Figures and prose


def test_the_panel_ends_where_the_ledger_stands(folder):
    frame = record.load_record(folder).frame
    mine = [claim for claim in CLAIMS.values() if len(record.of_claims(frame, [claim]))]
    paths = record.verdict_paths(frame)
    assert set(paths["claim"]) == {claim.key for claim in mine} and set(paths["n_seeds"]) == {2, 3, 4, 5, 6}
    rows, last = record.summarise_record(frame), paths[paths["n_seeds"] == 6].set_index("claim")
    for claim in mine:
        row = record.of_claims(rows, [claim]).iloc[0]
        assert last.loc[claim.key, ["value", "low", "high"]].tolist() == row[["value", "low", "high"]].tolist()
        assert last.loc[claim.key, "verdict"] == verdict(claim, row["low"], row["high"])
        told = paths[paths["claim"] == claim.key]
        if not np.isnan(n := last.loc[claim.key, "decided"]):
            assert set(told.loc[told["n_seeds"] >= n, "verdict"]) == {last.loc[claim.key, "verdict"]} != {"undecided"}
            assert n == 2 or told.set_index("n_seeds").loc[n - 1, "verdict"] != last.loc[claim.key, "verdict"]
    panel = power_panel(paths)
    assert [state["n"] for state in panel.states] == [2, 3, 4, 5, 6]
    assert "<script src" not in panel.html and panel.html.count("<tr>") == len(mine) + 1


@pytest.mark.parametrize("seeds", [0, 1])
def test_a_record_of_few_seeds_shows_what_it_has(tmp_path, monkeypatch, seeds):
    monkeypatch.setattr(record, "record_folder", lambda edition: tmp_path / "record")
    write(tmp_path / "record", range(400, 400 + seeds))
    frame = record.rows_of(WORLD)
    rows = record.summarise_record(frame)
    assert (
        len(record.seed_entries(WORLD)) == seeds
        and len(rows) == 6 * seeds
        and record.seeds_needed(rows)["seeds_needed"].isna().all()
    )
    assert record.verdict_paths(frame).empty and "needed" in power_panel(record.verdict_paths(frame)).html
    build = live(frame, [21, 22])
    assert record.replication(record.of_claims(build), frame).empty, "one seed has no spread"


def test_filled_and_hollow_marks(folder):
    frame = record.load_record(folder).frame
    replicated = record.replication(record.of_claims(live(frame, [21, 22, 23])), frame)
    replicated.loc[0, ["value", "replicated"]] = 9.0, False
    figure = within_prediction(replicated)
    assert figure.alt.endswith(
        f"{len(replicated) - 1} of {len(replicated)} within; outside: {replicated.loc[0, 'claim']}."
    )


def test_a_number_is_said_beside_the_record(folder):
    recorded = record.summarise_record(record.load_record(folder).frame)
    rows = live(record.load_record(folder).frame, [21, 22, 23])
    rows.loc[0, "value"], rows.loc[1, "value"] = 5.0, np.nan
    shown = record.beside_record(rows, recorded.drop(index=2))
    numbers = ["value", "low", "high", "sd", "n_seeds"]
    pd.testing.assert_frame_equal(shown.drop(index=2)[numbers], recorded.drop(index=2)[numbers])
    assert say(shown.loc[0]) == f"{say(recorded.loc[0])} (here 5.00, outside)", "a planted row outside is marked"
    assert say(shown.loc[1], percent=True) == f"{say(recorded.loc[1], percent=True)} (here undefined)"
    assert say(shown.loc[2]) == say(rows.loc[2]), "the record does not have it"
    assert say(shown.loc[3]) == f"{say(recorded.loc[3])} (here {rows.loc[3, 'value']:.2f})"
    assert marked(shown.loc[3]) == say(shown.loc[3]).replace("] (", f"] {MARKS[reads(recorded.loc[3])]} (")
    assert record.replication(rows, record.load_record(folder).frame)["replicated"].tolist() == [
        False,
        True,
        True,
        True,
        True,
    ]


REAL = record.load_record(record.record_folder(WORLD)).frame
"""The record that comes with the project; its first three seeds stand for a build."""

HELD = REAL["seed"].nunique()


def as_a_build(name: str, pooled: bool = True) -> pd.DataFrame:
    rows = REAL[(REAL["chapter"] == name) & (REAL["seed"] < 403)]
    return record.summarise_record(rows[rows["weak"] == ALL] if pooled else rows).drop(columns="chapter")


@pytest.fixture
def page(monkeypatch, tmp_path):
    """Opens a chapter of the default edition, with parameters; its record is that of the project's without the three
    seeds."""
    rows = record.rows_of
    later = lambda edition: rows(edition)[lambda frame: (frame["seed"] > 402) & (frame["weak"] == ALL)]
    monkeypatch.setattr(record, "rows_of", later)
    return lambda name, **given: open_chapter(name, {"store": str(tmp_path), "workers": 0} | given)


DRAWN = {
    "05_conflict_tax_deception": [
        lambda rows: conflict.scores_and_nulls(rows, list(CONFLICTS)),
        lambda rows: conflict.excess(rows, list(CONFLICTS)),
        lambda rows: conflict.tax_and_net_change(rows, list(CONFLICTS)),
        lambda rows: conflict.tax_by_quadrant(rows, list(CONFLICTS)),
    ],
    "07_nulls_and_controls": [
        lambda rows: controls.stairs(rows, ["explicit", "implicit"]),
        lambda rows: controls.tax_by_condition(rows, [("explicit", None), ("gold_explicit", 2.0)]),
    ],
    "08_mechanism": [
        lambda rows: mechanism.boundary(rows, WORLD.alphas),
        lambda rows: mechanism.beyond_by_region(rows, WORLD.alphas),
        lambda rows: mechanism.dose(rows, WORLD.alphas, WORLD.threshold),
    ],
    "10_other_objectives": [objectives.tax_by_objective, objectives.tax_by_side, objectives.excess_by_objective],
    "11_early_warning": [
        lambda rows: early_warning.auc_by_signal(rows, WATCHED, "rerun"),
        lambda rows: early_warning.recall_by_budget(rows, WATCHED),
    ],
    "12_preference_optimisation": [policies.tax_and_scores],
    "13_what_helps": [mitigations.every_mitigation, mitigations.bootstrapping],
    "24_policies_speak": [policies.words_and_rankings],
    "28_two_remedies": [mitigations.in_policies],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*REAL["chapter"]} - {PLANTED_IN}))
def test_pages_and_figures_show_what_verdicts_are_read_off(page, name):
    build, chapter = as_a_build(name), page(name)
    shown = chapter.publish(build)
    for claim in (claim for claim in CLAIMS.values() if claim.chapter == name):
        row, told = pick(shown, **claim.names), chapter.ledger_row(claim.key, build)
        numbers = ["value", "low", "high", "n_seeds"]
        assert row[numbers].tolist() == pytest.approx(told[numbers].tolist(), nan_ok=True), claim.key
        assert row["here"] == pytest.approx(pick(build, **claim.names)["value"], nan_ok=True) != row["value"]
    assert chapter.n_seeds == HELD - 3 and "here”, and hollow, is this build (3 seeds)" in chapter._repr_html_()
    live = chapter.published[0][0]
    pd.testing.assert_series_equal(live["value"], build["value"]), "results.csv has what this build computed"
    held = shown["within"].dropna()
    assert held.mean() > 0.5, "most of what this build found is where the record says"
    in_turns = shown.assign(within=[within and bool(i % 2) for i, within in enumerate(shown["within"])])
    marked = 0
    for draw in DRAWN.get(name, []):
        both = draw(in_turns)
        out, n = map(int, re.search(r"this build, (\d+) of (\d+) outside", both.beside).groups())
        told = both.canvas.findobj(lambda artist: isinstance(artist, Text) and artist.get_text() == "!")
        assert len(told) == out <= n > 1, "a row outside is marked, and no other"
        marked += out
        assert draw(build).beside == ""
    assert marked or not DRAWN.get(name)


def test_what_innocents_show_is_the_records_and_how_often_a_deceiver_is_seen_this_builds(page):
    build = as_a_build(PLANTED_IN)
    half = build["planted"].eq("half") & build["statistic"].eq("excess_margin_matched")
    younger = build["planted"].eq("by_label") & build["statistic"].eq("excess_margin_matched")
    build = pd.concat([build, build[half].assign(statistic="power_of_excess_margin_matched", value=0.5),
                       build[younger].assign(method="dpo", value=0.7)])  # fmt: skip
    decided = page("05_conflict_tax_deception").deciding({PLANTED_IN: build})[PLANTED_IN]
    about = {"statistic": "excess_margin_matched", "condition": "explicit", "weak": ALL}
    mine = REAL[(REAL["chapter"] == PLANTED_IN) & (REAL["seed"] > 402)]
    for kind, rows in (("by_label", mine), ("half", REAL[(REAL["chapter"] == PLANTED_IN) & (REAL["seed"] < 403)])):
        values = usual(rows, planted=kind, **about)["value"]
        assert pick(decided, planted=kind, method="reward_model", **about)["value"] == pytest.approx(values.mean())
    assert pick(decided, "power_of_excess_margin_matched", "explicit", planted="half")["value"] == 0.5
    assert pick(decided, planted="by_label", method="dpo", **about)["value"] == 0.7, "the record has none of these"
    told = page("05_conflict_tax_deception").ledger_row("N1", as_a_build("05_conflict_tax_deception"))
    assert told["innocent"] == pytest.approx(usual(mine, planted="by_label", **about)["value"].mean())
    assert told["innocent"] > told["value"] and "only follows its weak labels would show 0.18" in told["sentence"]


def test_maps_and_lines_say_whose_they_are(page):
    name = "06_capability_gap"
    build = as_a_build(name, pooled=False)
    one = build["statistic"].eq("accuracy") & build["condition"].eq("explicit")
    build.loc[one[one].index[0], "value"] = 0.01  # as no build of this world has it
    shown = record.beside_record(build, record.summarise_record(REAL[(REAL["chapter"] == name) & (REAL["seed"] > 402)]))
    drawn = gap.heat_maps(shown, "explicit", ["accuracy", "conflict_tax"])
    out = int(re.search(r"The record's; of this build's, (\d+) of 20 lie outside", drawn.caption)[1])
    marked = drawn.canvas.findobj(lambda artist: isinstance(artist, Text) and "!" in artist.get_text())
    assert len(marked) == out > 0
    assert "The record's" not in gap.heat_maps(build, "explicit", ["accuracy", "conflict_tax"]).caption
    seeds = REAL[(REAL["chapter"] == name) & (REAL["seed"] < 403) & (REAL["weak"] != ALL)]
    assert "hollow: this build." in gap.trend(seeds, shown, "deception_score", ["explicit", "rerun"]).beside
    assert gap.trend(seeds, build, "deception_score", ["explicit", "rerun"]).beside == ""
    name = "04_weak_to_strong"
    pairs = as_a_build(name, pooled=False)[lambda rows: rows["weak"] != ALL]
    seeds = REAL[(REAL["chapter"] == name) & (REAL["seed"] < 403) & (REAL["weak"] != ALL)]
    shown = record.beside_record(pairs, record.summarise_record(REAL[(REAL["chapter"] == name) & (REAL["seed"] > 402)]))
    alone, both = (generalization.pgr_ladder(seeds, rows) for rows in (pairs, shown))
    assert not alone.beside and (told := both._repr_mimebundle_()[1]["image/svg+xml"])
    assert [told["alt"], told["caption"]] == [f"{both.alt} {both.beside}", f"{both.caption} {both.beside}"]


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        (CHAPTER, {"edition": "smoke"}, ""),
        (CHAPTER, {"alpha": 1.0}, "is not compared with: it was made with other parameters"),
        (CHAPTER, {"seeds": [404]}, "is not compared with: seed 404 of this page is one of its own"),
        (CHAPTER, {"seeds": list(range(21, 21 + HELD))}, f"The record holds {HELD} study seeds"),
        ("30_label_again", {"seeds": [440]}, "is not compared with: seed 440 of this page is one of its own"),
        ("09_sensitivity", {}, ""),
        (PLANTED_IN, {}, "The record holds of this chapter what planted students come to, and no more"),
    ],
)  # fmt: skip
def test_where_the_record_does_not_hold_a_page_its_numbers_are_its_own_and_it_says_so(page, name, given, says):
    chapter, rows = page(name, **given), as_a_build("04_weak_to_strong")
    assert chapter.publish(rows) is rows and chapter.n_seeds == len(chapter.study.edition.seeds)
    assert says in chapter.stands_beside and bool(says) == bool(chapter.stands_beside)
    assert ("<p>" in chapter._repr_html_()) == bool(says)


def test_a_field_that_editions_did_not_have_names_them_only_where_it_differs():
    kept = json.loads((record.record_folder(load("world")) / record.ABOUT).read_text(encoding="utf-8"))["parameters"]
    asked = [WORLD, *(WORLD.model_copy(update={"helpful_share": share}) for share in (1.0, 0.5))]
    assert [record.parameters_digest(edition) == kept for edition in asked] == [True, True, False]
