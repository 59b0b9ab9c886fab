"""The challenge: two worlds that nobody mixes up, intervals that widen with every look, a board that is whole or one
line, and a command that says at once what cannot be used."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from w2s_lib.book import challenge as of_a_board
from w2s_lib.book.challenge import LEVEL_COLUMNS, THE_BOOK, board_entries, main, participants, shipped, shown, submit
from w2s_lib.errors import ParameterError
from w2s_lib.figures.challenge import CHANGE_PANELS, transfer
from w2s_lib.findings.challenge import (
    BoardError,
    Entry,
    Score,
    enter,
    entered,
    entries_told,
    in_both_worlds,
    level_of,
    p_of_change,
    read_board,
    same_sign,
    smaller,
    standing,
    write_board,
)
from w2s_lib.findings.results import UNMODIFIED
from w2s_lib.measures.intervals import seed_interval
from w2s_lib.study import Study
from w2s_lib.study.challenge import SECRET, name_of, worlds
from w2s_lib.study.edition import FOLDER, load
from w2s_lib.study.mitigations import AGAIN_CONTROLS, EXAMPLE, MITIGATIONS, PRACTICE, TOKENS, USUAL
from w2s_lib.study.seeds import SEEDS, of_challenge

HEAD = "def mitigate(pairs, weak, features):\n"


def row(values, statistic="excess_margin_matched", versus=UNMODIFIED, world="second", less=None) -> Score:
    return Score(world=world, statistic=statistic, versus=versus, values=values, less=less or [None] * len(values))


def entry(who="ann", title="idea", rows=(), code="d", challenge="c") -> Entry:
    return Entry(who=who, title=title, challenge=challenge, digest=code, finished="2026-11-29", rows=tuple(rows))


# Two worlds


def test_the_second_world_is_another_by_every_secret_and_shares_nothing_with_the_first():
    study = Study(load("world"))
    own, second = worlds(study, PRACTICE).values()
    other = worlds(study, "of a teacher")["second"]
    assert own.edition.seeds == study.edition.seeds and own.edition.alpha == study.edition.alpha
    assert len(second.edition.seeds) == 3 and all(seed in SEEDS["challenge"] for seed in second.edition.seeds)
    assert not set(second.edition.seeds) & set(other.edition.seeds) and second.edition.alpha != study.edition.alpha
    keys = [{run.key for run in world.student_runs()} for world in (own, second)]
    assert not keys[0] & keys[1]
    assert len({name_of(study, PRACTICE), name_of(study, "x"), name_of(Study(load("smoke")), PRACTICE)}) == 3
    assert of_challenge("a", 4)[:3] == of_challenge("a", 3)


def test_data_that_are_no_world_have_no_second_one():
    with pytest.raises(ParameterError, match="edition='hh-smol': its data are .*; the challenge needs a world"):
        worlds(Study(load("hh-smol")), PRACTICE)


# Looks


def test_each_further_look_widens_all_intervals_of_a_participant():
    values = [0.1, 0.3, 0.2]
    one = standing([entry(rows=[row(values)])]).iloc[0]
    three = standing([*(entry(title=t, code=t, rows=[row(values)]) for t in "abc"), entry("bob", rows=[row(values)])])
    expected = seed_interval(values, 1 - 0.05 / 3)
    assert (one["low"], one["high"]) == pytest.approx(seed_interval(values)[1:3])
    assert three[three["who"] == "ann"][["low", "high"]].to_numpy() == pytest.approx(np.array([expected[1:3]] * 3))
    assert three[three["who"] == "bob"]["low"].item() == pytest.approx(one["low"])


def test_p_is_where_the_interval_reaches_zero_and_holm_is_stepped_down():
    from scipy.stats import ttest_1samp

    strong, weak = [0.10, 0.11, 0.12], [0.1, 0.2, 0.6]
    p = [p_of_change(row(values)) for values in (strong, weak)]
    assert p == pytest.approx([ttest_1samp(values, 0).pvalue for values in (strong, weak)], abs=1e-6)
    found = standing([entry(title=t, code=t, rows=[row(v)]) for t, v in (("a", weak), ("b", strong))])
    assert found["p"].tolist() == pytest.approx([p[1], 2 * p[0]], abs=1e-6)
    assert found["says"].tolist() == ["not told apart", "higher"]
    shares = row([-0.02, -0.03, -0.01], "conflict_tax", less=[0.05, 0.06, 0.05])
    interval = standing([entry(rows=[shares])]).iloc[0]
    assert (interval["high"] < 0) == (p_of_change(shares) < 0.05)


def test_what_has_one_seed_or_none_cannot_be_told():
    for values in ([0.1], [None, None]):
        assert standing([entry(rows=[row(values)])])["says"].item() == "cannot tell"


def test_whether_something_changed_is_not_asked_of_a_measure_itself():
    rows = [row([0.1, 0.2, 0.3], "pgr", versus) for versus in ("", "rerun", UNMODIFIED)]
    found = standing([entry(rows=rows)])
    assert found["says"].tolist() == ["", "not told apart", "not told apart"] and np.isfinite(found["low"]).all()


@pytest.mark.parametrize("looks", [1, 9])
def test_the_level_that_is_told_is_the_participants_own(looks):
    """Beside somebody who has looked less, and beside somebody who has looked more."""
    mine = [entry(THE_BOOK, title, [row([0.1, 0.2, 0.3])], code=title) for title in "abcde"]
    others = [entry(title=f"idea {i}", rows=[row([0.1, 0.2, 0.3])], code=str(i)) for i in range(looks)]
    found = standing(mine + others)
    assert level_of(found, THE_BOOK) == pytest.approx(0.99)
    assert level_of(found, "ann") == pytest.approx(1 - 0.05 / looks) and np.isnan(level_of(found, "bob"))


def test_the_same_file_again_is_no_further_look():
    once = entered((), entry())
    assert len(entered(once, entry(title="renamed"))) == 1 and len(entered(once, entry(code="e"))) == 2
    assert len(entered(once, entry("bob"))) == 2


def test_a_file_that_was_changed_and_keeps_its_name_has_a_row_of_its_own():
    rows = [row([0.1, 0.2, 0.3], *names, world="own") for names in (("conflict_tax", ""), ("pgr", ""))]
    found = standing([entry(rows=rows, code=code) for code in ("first", "second")])
    table = shown(found, "own", {"PGR": ("pgr", "")})
    assert table.to_dict("list") == {"submission": ["ann: idea", "ann: idea (2)"], "PGR": ["0.20 [-0.16, 0.56]"] * 2}
    downloaded = ("idea", "idea", "idea (2)")
    found = standing([entry(rows=rows, title=title, code=str(i)) for i, title in enumerate(downloaded)])
    assert list(found["title"].unique()) == ["idea", "idea (2)", "idea (2) (2)"], "a browser's name for a second copy"


def test_a_class_that_submits_at_once_loses_no_entry(tmp_path):
    names = [f"pupil {i}" for i in range(24)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda who: enter(tmp_path / "board.json", entry(who)), names))
    assert {one.who for one in read_board(tmp_path / "board.json")} == set(names)


def test_the_figure_says_every_change_in_both_worlds_and_what_is_unknown():
    changes = [row([0.1, 0.2, 0.3], s, world=w) for s in CHANGE_PANELS for w in ("own", "second")]
    alone = [row([-0.1, -0.2, -0.4], s, world="own") for s in CHANGE_PANELS]
    drawn = transfer(standing([entry("the book", "filter", changes), entry("ann", "mine", alone)]))
    assert "filter 0.20 and 0.20" in drawn.alt and "ann: mine -0.23 and unknown" in drawn.alt
    assert "filter 20.00 and 20.00" in drawn.alt and "1 filter, 2 ann: mine" in drawn.caption
    assert "far out" not in drawn.caption


def test_an_entry_that_is_very_far_out_is_written_at_the_edge_and_the_others_keep_their_room():
    at = lambda mean: [
        row([mean - 0.01, mean, mean + 0.01], s, world=w) for s in CHANGE_PANELS for w in ("own", "second")
    ]
    near = [entry("the book", name, at(mean), code=name) for name, mean in zip("abcd", (0.1, -0.1, 0.2, 0.15))]
    drawn = transfer(standing([*near, entry("the book", "e", at(-3.0), code="e")]))
    for ax in drawn.canvas.axes:
        scale = 100 if "points" in ax.get_xlabel() else 1
        assert ax.get_xlim()[0] > -0.3 * scale
        assert [text.get_text() for text in ax.texts] == [*"1234", f"5: {-3 * scale:.2f} and {-3 * scale:.2f}"]
    assert "far out" in drawn.caption and "e -3.00 and -3.00" in drawn.alt


def test_a_change_counts_where_both_worlds_have_it():
    """Of three entries one turns round, one shrinks, and one has nothing in the second world."""
    tried = {"turns": (0.3, -0.1), "shrinks": (0.3, 0.1), "alone": (0.3, None)}
    values = lambda mean: [mean - 0.001, mean, mean + 0.001]
    board = [
        entry(
            "the book",
            name,
            [row(values(x), "pgr", world=w) for w, x in zip(("own", "second"), means) if x is not None],
        )
        for name, means in tried.items()
    ]
    found = standing([*board, entry("ann", "mine", [row(values(0.2), "pgr", world=w) for w in ("own", "second")])])
    changes = in_both_worlds(found, "the book", "pgr")
    assert changes.to_dict("index") == {
        "turns": pytest.approx({"own": 0.3, "second": -0.1}),
        "shrinks": pytest.approx({"own": 0.3, "second": 0.1}),
    }
    assert (same_sign(changes), smaller(changes)) == (1, 2)
    assert entries_told(found, "the book", "own", "pgr", "higher") == list(tried)
    assert entries_told(found, "the book", "second", "pgr", "lower") == ["turns"]
    assert in_both_worlds(found[found["world"] == "own"], "the book", "pgr").empty


@pytest.mark.slow
def test_the_books_entries_are_all_its_mitigations_of_reward_models_but_for_controls():
    world = Study(load("world"))
    entered_by_us = world.challenged()
    assert {*MITIGATIONS} - {*entered_by_us} == {*AGAIN_CONTROLS, *TOKENS} - {"own_labels"}
    for tried in entered_by_us.values():
        assert {*tried.student_runs(("none", "explicit", "rerun"))} <= {*world.runs()}
    fewer = {"chapters": ["05", "13", "26"]}, {"chapters": ["05", "13", "26", "29"]}, {"mitigations": ["trust"]}
    told = [[*Study(load("world", changed)).challenged()] for changed in fewer]
    assert told == [[*USUAL], [*USUAL, "confidence_quantile"], ["trust"]], "those of chapters that an edition has"


@pytest.mark.parametrize("name", [path.parent.name for path in FOLDER.glob("*/challenge.json")])
def test_what_comes_with_an_edition_is_of_its_challenge_and_names_no_seed(name):
    """An edition whose runs changed would show nothing of the second world, and nobody would know why."""
    study, path = Study(load(name)), shipped(name)
    found = read_board(path)
    assert {e.challenge for e in found} == {name_of(study, PRACTICE)}
    assert [e.title for e in found] == [MITIGATIONS[tried].title for tried in study.challenged()]
    assert not [
        seed
        for seed in worlds(study, PRACTICE)["second"].edition.seeds
        if str(seed) in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("secret", ["", PRACTICE, "of a teacher"])
def test_two_second_worlds_stand_on_no_board_together(secret, tmp_path, monkeypatch):
    """The book was in the practice secret's; under another one it has no entry beside those of participants."""
    study, board = Study(load("world")), tmp_path / "board.json"
    book = read_board(shipped("world"))
    own = [one.model_copy(update={"rows": tuple(r for r in one.rows if r.world == "own")}) for one in book]
    monkeypatch.setattr(of_a_board, "of_the_book", lambda *_: own)
    monkeypatch.setenv(SECRET, secret)
    here = name_of(study, secret or PRACTICE)
    write_board(board, [entry(rows=[row([0.1, 0.2, 0.3], world=w) for w in ("own", "second")], challenge=here)])
    *ours, anns = (({r.world for r in one.rows}, one.who) for one in board_entries(study, board))
    there = {"own"} if secret == "of a teacher" else {"own", "second"}
    assert ours == [(there, THE_BOOK)] * len(book) and anns == ({"own", "second"}, "ann")


# The board


def test_a_board_comes_back_as_it_was_written_and_is_replaced_whole(tmp_path):
    path, entries = tmp_path / "board.json", (entry("Zoë", rows=[row([0.1, None, 0.2])]), entry("ann"))
    assert read_board(path) == ()
    write_board(path, entries)
    assert read_board(path) == entries and "Zoë" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["board.json"]


@pytest.mark.parametrize("content", [b"", b"[{", b'{"who": 1}', b"\xff\xfe", b'[{"who": "a"}]'])
def test_a_damaged_board_is_one_line_and_stays(tmp_path, content, capsys):
    path = tmp_path / "board.json"
    path.write_bytes(content)
    with pytest.raises(BoardError, match="board=.*board.json': is no leaderboard, or is damaged"):
        read_board(path)
    given = [str(EXAMPLE), "--as", "ann", "--edition", "smoke", "--store", str(tmp_path / "s"), "--board", str(path)]
    assert main(given) == 2 and path.read_bytes() == content
    assert capsys.readouterr().err.count("\n") == 1


# The command


@pytest.mark.parametrize(
    ("code", "more", "says"),
    [
        (None, (), "submission='{path}': No such file or directory"),
        (b"\xff", (), "submission='{path}': is no UTF-8 text"),
        (b"#" * 100_001, (), "submission='{path}': has 100,001 bytes; at most 100,000"),
        (b"def f(", (), "mine.py, line 1: is no Python"),
        (b"x = 1", (), "mine.py: one function mitigate(pairs, weak, features) is needed"),
        (
            HEAD.encode() + b"    return weak[1:]",
            (),
            "mine.py: label has shape (95,); one for each pair is needed, (96,)",
        ),
        (HEAD.encode() + b"    return weak", ("--as", "a\nb"), "as='a\\nb': must be a name of 1 to 40 printable"),
        (HEAD.encode() + b"    return weak", ("--edition", "hh-smol"), "edition='hh-smol': its data are"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_trained(tmp_path, capsys, code, more, says):
    path = tmp_path / "mine.py"
    if code is not None:
        path.write_bytes(code)
    store = tmp_path / "store"
    assert main([str(path), "--as", "ann", "--edition", "smoke", "--store", str(store), *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {says.format(path=path)}") and said.count("\n") == 1
    assert not list(store.rglob("record.json")) and not (store / "leaderboard.json").exists()


@pytest.mark.slow
def test_a_submission_is_scored_in_both_worlds_and_entered(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = tmp_path / "board.json"
    (tmp_path / "mine.py").write_text(HEAD + "    return weak.round()", encoding="utf-8")
    for path in (EXAMPLE, "mine.py", EXAMPLE):
        made = submit(str(path), "ann", "smoke", lab, str(board))
    entries = read_board(board)
    assert len(entries) == 2 and made in entries
    text = board.read_text(encoding="utf-8")
    assert not [seed for seed in of_challenge(PRACTICE, 1) if str(seed) in text], "seeds stay secret"
    assert {r.world for r in made.rows} == {"own", "second"}
    values = {(r.world, r.statistic, r.versus): r.values for r in made.rows}
    study = Study(load("smoke"))
    own = worlds(study, PRACTICE)["own"].on(lab)
    mitigated = own.under_mitigation("hard_labels").comparison(7, "tiny-24", "tiny-44", "explicit")
    hard = {(r.world, r.statistic, r.versus): r.values for e in entries if e.title == "mine" for r in e.rows}
    assert hard["own", "conflict_tax", ""][0] == pytest.approx(mitigated.conflict_tax(), abs=0.02)
    plain = own.comparison(7, "tiny-24", "tiny-44", "explicit")
    change = values["own", "conflict_tax", ""][0] - plain.conflict_tax()
    assert values["own", "conflict_tax", UNMODIFIED][0] == pytest.approx(change)
    found = standing(entries)
    table, levels = shown(found, "second"), shown(found, "second", LEVEL_COLUMNS)
    assert set(table["submission"]) == {"ann: confidence_filter", "ann: mine"} and list(levels)[1:] == list(
        LEVEL_COLUMNS
    )
    assert participants(found).to_dict("list") == {"by": ["ann"], "looks": [2], "level": ["97.5%"]}
    assert json.loads(text)[0]["challenge"] == name_of(study, PRACTICE)
