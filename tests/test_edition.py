"""Bad input gets one line that names the parameter, the value and what is allowed."""

import pytest
import yaml

from w2s_lib.errors import ParameterError
from w2s_lib.models.ladder import LADDER
from w2s_lib.study.edition import FOLDER, PARAMETERS, Edition, available, load, split_pair


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"treshold": 0.9}, "treshold=0.9: no such parameter; did you mean 'threshold'?"),
        ({"threshold": 1.2}, "threshold=1.2: must be below 1"),
        ({"threshold": 0.4}, "threshold=0.4: must be at least 0.5"),
        ({"threshold": "high"}, "threshold='high': must be a number"),
        ({"alpha": 0}, "alpha=0: must be above 0"),
        ({"seeds": []}, r"seeds=\[\]: needs at least 1"),
        ({"seeds": [1, 1]}, r"seeds=\[1, 1\]: every entry may occur once"),
        ({"seeds": [0.5]}, "seeds=0.5: must be a whole number"),
        ({"seeds": "many"}, "seeds='many': must be a list"),
        ({"pairs": ["tiny-24 -> tiny-366"]}, "no such model; did you mean 'tiny-36'?"),
        ({"pairs": ["tiny-44 -> tiny-24"]}, "the weak model must be smaller than the strong one"),
        ({"pairs": ["tiny-24 -> tiny-24"]}, "the weak model must be smaller than the strong one"),
        ({"pairs": ["tiny-24"]}, "a weak-strong pair is written 'tiny-24 -> tiny-"),
        ({"models": ["tiny-24", "tiny24"]}, "no such model; did you mean 'tiny-24'?"),
        ({"train_pairs": 3}, "train_pairs=3: must be at least 32"),
        ({"reading": 0}, "reading=0: must be above 0"),
        ({"methods": ["dpoo"]}, "methods='dpoo': no such preference objective; did you mean 'dpo'?"),
        ({"methods": []}, r"methods=\[\]: needs at least 1"),
        ({"dpo_beta": 0}, "dpo_beta=0: must be above 0"),
        ({"simpo_beta": 1000}, "simpo_beta=1000: must be at most 100"),
        ({"simpo_gamma": -1}, "simpo_gamma=-1: must be at least 0"),
        (
            {"mitigations": ["leaky_filtr"]},
            "mitigations='leaky_filtr': no such mitigation; did you mean 'leaky_filter'?",
        ),
        (
            {"intermediates": ["tiny-56"]},
            "'tiny-56' is not between tiny-24 and tiny-56; allowed: tiny-28, tiny-36, tiny-44",
        ),
        ({"intermediates": ["tiny-57"]}, "intermediates='tiny-57': no such model"),
        ({"filter_above": 1.0}, "filter_above=1.0: must be below 1"),
        ({"policy_pairs": ["tiny-56 -> tiny-72"]}, "is not among the edition's pairs"),
        ({"draws": 150.5}, "draws=150.5: must be a whole number"),
        ({"chapters": ["5"]}, "chapters='5': no such chapter; did you mean '15'\\? allowed: 01, 02, 03"),
        ({"chapters": ["05", "six"]}, "chapters='six': no such chapter; allowed: 01, 02"),
        ({"chapters": ["05", "05"]}, "every entry may occur once"),
    ],
)
def test_bad_values(overrides, says):
    with pytest.raises(ParameterError, match=says) as error:
        load("world", overrides)
    assert "\n" not in str(error.value)
    assert error.value._render_traceback_() == [f"ParameterError: {error.value}"]


def test_unknown_edition_with_the_nearest_name():
    with pytest.raises(ParameterError, match="edition='wrold': no such edition; did you mean 'world'?"):
        load("wrold")
    with pytest.raises(ParameterError, match="edition=3: must be a name"):
        load(3)


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "a: [1"])
def test_files_that_are_no_edition(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError):
        load(path)


def test_missing_field_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ntitle: t\nseeds: [1]\nmodels: [tiny-24, tiny-36]\n")
    with pytest.raises(ParameterError, match="pairs=.*is required"):
        load(path)


def own(**fields) -> dict:
    """Parameters of an edition of real texts."""
    given = {
        "data": "hh-harmless",
        "models": ["gpt2", "gpt2-medium"],
        "pairs": ["gpt2 -> gpt2-medium"],
        "chapters": ["05"],
    }
    return given | fields


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            own(chapters=None),
            "chapters=None: 02, 03, 10 need the world, and data is 'hh-harmless'; name others: '01', '04', ",
        ),
        (own(chapters=["04", "10"]), r"chapters=\['04', '10'\]: 10 need the world, .*name others: '04'$"),
        (
            own(data="hh-helpful"),
            "data='hh-helpful': its labels prefer helpfulness; pairs labelled by harmlessness are needed here",
        ),
        (own(helpful="cai-harmless"), "helpful='cai-harmless': its labels prefer harmlessness"),
    ],
)
def test_what_chapters_and_labels_need_is_refused_at_load(overrides, says):
    with pytest.raises(ParameterError, match=says) as error:
        load("world", overrides)
    assert "\n" not in str(error.value)


def test_an_edition_is_called_like_its_file(tmp_path):
    """Else the book of a copy would be built over the default one, and looked for elsewhere."""
    path = tmp_path / "mine.yaml"
    path.write_text((FOLDER / "world.yaml").read_text())
    with pytest.raises(ParameterError, match="name='world': must be the name of its file, mine.yaml"):
        load(path)


def test_an_installation_without_the_book_says_where_editions_lie(tmp_path, monkeypatch):
    monkeypatch.setattr("w2s_lib.study.edition.FOLDER", tmp_path / "nowhere")
    with pytest.raises(
        ParameterError, match="edition='world': the editions lie in the book's checkout; install from a clone"
    ):
        load("world")


@pytest.mark.parametrize("name", available())
def test_every_edition_is_valid_and_named_like_its_file(name):
    edition = load(name)
    assert edition.name == name
    assert {m for pair in edition.weak_strong for m in pair} <= set(edition.models)


def test_the_default_edition_is_what_it_promises():
    edition = load("world")
    assert len(edition.seeds) >= 3 and len(edition.models) >= 5 and (edition.threshold, edition.alpha) == (0.75, 0.5)


def test_none_overrides_nothing():
    assert load("world", dict.fromkeys(PARAMETERS[1:5])) == load("world")


def test_a_path_is_an_edition(tmp_path):
    fields = yaml.safe_load((FOLDER / "smoke.yaml").read_text()) | {"name": "mine", "seeds": [3]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields))
    assert load(tmp_path / "mine.yaml").seeds == (3,)


def test_pair_notation_is_normalised():
    assert load("world", {"pairs": ["tiny-24->tiny-44"]}).weak_strong == [("tiny-24", "tiny-44")]
    assert split_pair("tiny-24 -> tiny-56") == ("tiny-24", "tiny-56")


def test_parameters_are_fields_or_runtime():
    assert set(PARAMETERS) - {"edition", "store", "workers"} <= set(Edition.model_fields)


def test_the_ladder_is_ordered_by_width():
    widths = [rung.width for rung in LADDER.values()]
    assert widths == sorted(widths) and all(name == f"tiny-{rung.width}" for name, rung in LADDER.items())


def test_frozen_layers_are_read_at_their_last_token_only():
    recipe = {"score_at": "count_of_nonzero_ids"}
    with pytest.raises(
        ParameterError, match="reward_model.score_at=.?count_of_nonzero_ids.?: frozen layers are not read there"
    ):
        load("hh-smol", {"reward_model": recipe})
    assert load("world", {"reward_model": recipe}).reward_model.score_at == "count_of_nonzero_ids"
