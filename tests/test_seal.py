"""Answers under seal: the right one and common mistakes are recognised, and nothing can be read without them."""

import hashlib
import json
import time

import numpy as np
import pytest

from w2s_lib.book import seal as seal_module
from w2s_lib.book.chapter import open_chapter
from w2s_lib.book.seal import GUESSES, RIGHT, WrongAnswer, exercise, exercises, has_comma, on_grid, right, seal, unseal
from w2s_lib.errors import ParameterError

MASK = np.random.default_rng(3).random(200) > 0.5
HINT = "turn it round: p, not 1 - p"


def under_seal(*answer, **options):
    return seal(exercise(*answer, **options))


@pytest.fixture(scope="module")
def sealed():
    return under_seal("x", MASK, hints={HINT: ~MASK, "never shown: no mistake": MASK})


@pytest.fixture
def cheap(monkeypatch):
    """Guesses that cost nothing, for tests of other things."""
    monkeypatch.setattr(seal_module, "COST", 2)


def test_right_wrong_and_known_mistakes(sealed):
    flipped = MASK.copy()
    flipped[0] ^= True
    assert unseal(sealed, MASK) == unseal(sealed, MASK.astype(int).tolist()) == RIGHT
    assert unseal(sealed, ~MASK) == HINT
    assert unseal(sealed, flipped) is None and unseal(sealed, MASK[:-1]) is None and unseal(sealed, MASK.mean()) is None


def test_where_a_book_was_built_the_same_opens_in_no_time(monkeypatch):
    """A build tries hundreds of answers; only who has the hand-out alone is to wait."""
    monkeypatch.setattr(hashlib, "scrypt", None)
    known = exercise("x", MASK, hints={HINT: ~MASK, "never shown: no mistake": MASK})
    assert [unseal(known, answer) for answer in (MASK, ~MASK, MASK[:-1])] == [RIGHT, HINT, None]
    assert unseal(exercise("share", 0.12345, 4), 0.1234) == RIGHT and "0.1234" not in json.dumps(known)


def test_nothing_can_be_read_without_an_answer(sealed):
    """Neither a text nor which entry is which; a seal of the same answer has nothing in common with it."""
    text = json.dumps(sealed)
    assert HINT not in text and RIGHT not in text and HINT.encode().hex() not in text
    assert len(sealed["entries"]) == 2 and len({len(told) for told in sealed["entries"].values()}) == 1
    again = under_seal("x", MASK, hints={HINT: ~MASK})
    assert not again["entries"].keys() & sealed["entries"].keys() and again["salt"] != sealed["salt"]


def test_a_guess_takes_long_and_plausible_ones_open_nothing(sealed, monkeypatch):
    """Shares with two decimals, and masks that are all one thing: what a guesser would try first.  Trying as many as
    an answer must leave open would take more than a minute of the fastest processors seen, and two of the others."""
    asked, scrypt = [], hashlib.scrypt
    monkeypatch.setattr(
        seal_module.hashlib, "scrypt", lambda *args, **how: asked.append(how["n"]) or scrypt(*args, **how)
    )
    start, tried = time.process_time(), [np.zeros(200), np.ones(200), 0.5, round(float(MASK.mean()), 2)]
    assert not any(unseal(sealed, guess) for guess in tried)
    a_guess = (time.process_time() - start) / (len(tried) + 2)  # a single number is looked for in two cells
    assert a_guess * GUESSES > 60 and a_guess < 1
    assert len(asked) >= len(tried) and min(asked) >= 2**14, "on any processor, as much work and 16 MB a guess"


@pytest.mark.parametrize(
    ("answer", "digits", "says"),
    [(0.25, 2, "1 numbers of 2 decimals"), (0.25, 3, "1 numbers of 3 decimals"), ([1, 0] * 5, 6, "10 numbers of 6")],
)
def test_what_guessing_would_find_is_not_sealed(answer, digits, says):
    with pytest.raises(ParameterError, match=f"share='{says}.*is found by trying all; ask for more decimals"):
        under_seal("share", answer, digits)


def test_a_single_number_may_be_rounded_to_either_side(cheap):
    sealed = under_seal("share", 0.12345, 4, hints={"1 − p": 1 - 0.12345})
    assert all(unseal(sealed, near) == RIGHT for near in (0.12345, 0.1234, 0.1235, "0.1235"))
    assert unseal(sealed, 0.1237) is None and unseal(sealed, 0.8766) == "1 − p"


def test_numbers_are_right_to_their_digits(cheap):
    values = np.linspace(0.05, 1, 20)
    values[3] = np.nan
    sealed = under_seal("x", values, digits=3)
    assert unseal(sealed, values + 1e-4) == RIGHT and unseal(sealed, values + 1e-3) is None
    assert unseal(sealed, np.nan_to_num(values)) is None


def test_rounding_of_the_machine_does_not_make_an_answer_wrong(cheap):
    """0.5 on a grid of whole numbers lies on an edge."""
    edge = np.full(20, 0.5)
    sealed = under_seal("x", edge, digits=0)
    assert unseal(sealed, edge - 1e-12) == unseal(sealed, edge + 1e-12) == RIGHT
    assert unseal(sealed, edge - 1e-3) is None


@pytest.mark.parametrize("answer", ["text", None, [1, [2]], [np.inf] * 20, [1e13] * 20])
def test_what_is_no_answer_is_one_line(answer, cheap):
    if answer is None:
        assert on_grid(answer, 0) == on_grid(np.nan, 0)
    else:
        with pytest.raises(ValueError, match="an answer (is a number, or an array|has finite numbers)"):
            unseal(under_seal("x", MASK), answer)


@pytest.mark.parametrize(
    ("answer", "comma"),
    [((0, 45), True), ([0, 45], False), ("0,45", True), (["0,4", "0,5"], True), ((0, 1, 1, 30), False),
     ("0.45", False), ([0.2, 45], False), (0.45, False), ([], False), (MASK, False), ([[1], 2], False)],
)  # fmt: skip
def test_a_decimal_comma_is_seen(answer, comma):
    assert has_comma(answer) is comma


def test_large_numbers_of_many_decimals_are_refused_and_not_all_alike(cheap):
    with pytest.raises(ValueError, match="finite numbers below 9e\\+03"):
        on_grid(1e8, 12)
    assert on_grid(5000.0, 12) != on_grid(np.nan, 12)


@pytest.fixture
def chapter(tmp_path, monkeypatch, cheap):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    opened = lambda **given: open_chapter("05_x", {"edition": "smoke", "store": str(tmp_path), "workers": 0} | given)
    opened().seal("ds-mask", MASK, hints={HINT: ~MASK})
    (tmp_path / "checks").mkdir()
    (tmp_path / "05_x.checks").rename(tmp_path / "checks" / "05_x.json")
    return opened


def test_a_grader_reads_the_file_alone(chapter, tmp_path):
    path = str(tmp_path / "checks" / "05_x.json")
    given = [MASK, ~MASK, ..., "text", MASK.tolist()]
    assert [right(path, "ds-mask", answer) for answer in given] == [True, False, False, False, True]
    with pytest.raises(ParameterError, match="exercise='ds-musk': did you mean 'ds-mask'?"):
        right(path, "ds-musk", MASK)


def test_a_hint_that_steers_a_terminal_is_written_out(chapter):
    here = chapter()
    here.seal("x", MASK, hints={"\x1b[31m<b>": ~MASK})
    with pytest.raises(WrongAnswer, match=r"^\\x1b\[31m<b>$"):
        here.check("x", ~MASK)


def test_a_hand_out_checks_with_its_first_cell_alone(chapter, capsys):
    here = chapter()
    here.check("ds-mask", MASK)
    here.check("ds-mask", ...)
    assert capsys.readouterr().out == "✓ right\nds-mask: no answer yet\n"
    with pytest.raises(WrongAnswer, match=HINT):
        here.check("ds-mask", ~MASK)
    with pytest.raises(WrongAnswer, match="^not yet"):
        here.check("ds-mask", [0.5])
    with pytest.raises(WrongAnswer, match="array of numbers"):
        here.check("ds-mask", "yes")
    for answer in ("0,45", (0, 45)):
        with pytest.raises(WrongAnswer, match="^decimals are written with a point: 0.45, and not 0,45"):
            here.check("ds-mask", answer)


def test_an_edition_too_small_for_a_seal_leaves_the_answer_open(chapter, capsys, tmp_path):
    here = chapter()
    here.seal("few", MASK[:3])
    here.seal("many", MASK)
    here.check("few", MASK[:3])
    assert "few: too few possible answers in this edition" in capsys.readouterr().out
    assert list(exercises(tmp_path / "05_x.checks")[1]) == ["many"]


def test_what_cannot_be_checked_is_one_line(chapter, tmp_path):
    with pytest.raises(ParameterError, match="exercise='ds-musk': did you mean 'ds-mask'?"):
        chapter().check("ds-musk", MASK)
    with pytest.raises(ParameterError, match="sealed for other parameters"):
        chapter(threshold=0.9).check("ds-mask", MASK)
    (tmp_path / "checks" / "05_x.json").write_text("{", encoding="utf-8")
    with pytest.raises(ParameterError, match="05_x.json.*is no file of checks"):
        chapter().check("ds-mask", MASK)
    (tmp_path / "checks" / "05_x.json").unlink()
    with pytest.raises(ParameterError, match=f"{tmp_path.name}.*not here; open a hand-out in its own folder"):
        chapter().check("ds-mask", MASK)
