"""Bad input gets one line that names the parameter, the value and what is allowed."""

import json
from pathlib import Path

import pytest
import yaml

from w2s_lib.errors import ParameterError, exit_code
from w2s_lib.models.ladder import LADDER
from w2s_lib.study import Study
from w2s_lib.study.edition import ALWAYS, CHAPTERS, FOLDER, PARAMETERS, Edition, available, load, split_pair


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"treshold": 0.9}, "treshold=0.9: no such parameter; did you mean 'threshold'?"),
        ({"title": "mine\n"}, r"title='mine\\n': must be one line of characters that can be printed"),
        ({"title": "\u202emine"}, r"title='\\u202emine': must be one line"),
        ({"threshold": 1.2}, "threshold=1.2: must be below 1"),
        ({"threshold": 0.4}, "threshold=0.4: must be at least 0.5"),
        ({"threshold": "high"}, "threshold='high': must be a number"),
        ({"alpha": 0}, "alpha=0: must be above 0"),
        ({"seeds": []}, r"seeds=\[\]: needs at least 1"),
        ({"seeds": [1, 1]}, r"seeds=\[1, 1\]: every entry may occur once"),
        ({"seeds": [0.5]}, "seeds=0.5: must be a whole number"),
        ({"seeds": "many"}, "seeds='many': must be a list"),
        ({"weak_strong_pairs": ["tiny-24 -> tiny-366"]}, "no such model; did you mean 'tiny-36'?"),
        ({"weak_strong_pairs": ["tiny-44 -> tiny-24"]}, "the weak model must be smaller than the strong one"),
        ({"weak_strong_pairs": ["tiny-24 -> tiny-24"]}, "the weak model must be smaller than the strong one"),
        ({"weak_strong_pairs": ["tiny-24"]}, "a weak-strong pair is written 'tiny-24 -> tiny-"),
        ({"models": ["tiny-24", "tiny24"]}, "no such model; did you mean 'tiny-24'?"),
        ({"train_pairs": 3}, "train_pairs=3: must be at least 32"),
        ({"reading": 0}, "reading=0: must be at least 0.002"),
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
        ({"policy_weak_strong_pairs": ["tiny-56 -> tiny-72"]}, "is not among the edition's weak_strong_pairs"),
        ({"draws": 150.5}, "draws=150.5: must be a whole number"),
        ({"chapters": ["5"]}, "chapters='5': a chapter's number is a text of two digits: write '05' in quotes"),
        ({"chapters": [5]}, "chapters=5: a chapter's number is a text of two digits: write '05' in quotes"),
        ({"seeds": [True]}, r"seeds=\[True\]: must not be a truth value"),
        ({"alpha": True}, "alpha=True: must not be a truth value"),
        ({"alpha": float("nan")}, "alpha=nan: "),
        ({"reward_model": {"learning_rate": "inf"}}, "reward_model.learning_rate='inf': .*finite"),
        ({"dpo": {"epochs": True}}, "dpo.epochs=True: must not be a truth value"),
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
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError):
        load(path)


def test_a_file_whose_name_gives_no_name_is_told_so(tmp_path):
    (tmp_path / "数据.yaml").write_text("name: data\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="the name of the file needs a letter from a to z, or a digit"):
        load(str(tmp_path / "数据.yaml"))


@pytest.mark.parametrize("old", ["pairs", "control_pairs", "policy_pairs", "mitigation_pairs"])
def test_an_old_name_of_weak_strong_pairs_is_refused_with_the_new_one_and_its_line(tmp_path, capsys, old):
    now = old.replace("pairs", "weak_strong_pairs")
    text = f"name: mine\ntitle: t\nseeds: [1]\nmodels: [tiny-24, tiny-36]\n{old}: [tiny-24 -> tiny-36]\n"
    if old != "pairs":
        text += "weak_strong_pairs: [tiny-24 -> tiny-36]\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert exit_code(lambda: load(tmp_path / "mine.yaml")) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"mine.yaml, line 5: {old}=[tiny-24 -> tiny-36]: is called {now} now" in said
    (tmp_path / "mine.yaml").write_text(text.replace(f"\n{old}", f"\n{now}"), encoding="utf-8")
    assert load(tmp_path / "mine.yaml").weak_strong == [("tiny-24", "tiny-36")]


def test_missing_field_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ntitle: t\nseeds: [1]\nmodels: [tiny-24, tiny-36]\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="weak_strong_pairs=.*is required"):
        load(path)


def own(**fields) -> dict:
    """Parameters of an edition of real texts."""
    given = {
        "data": "hh-harmless",
        "models": ["gpt2", "gpt2-medium"],
        "weak_strong_pairs": ["gpt2 -> gpt2-medium"],
        "chapters": ["05"],
    }
    return given | fields


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            own(chapters=None),
            "chapters=None: 02, 03, 10, 19, 22, 23, 25, 26, 29, 31, 32 need the world, and data is 'hh-harmless'; name",
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
    path.write_text((FOLDER / "world.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ParameterError, match="mine.yaml, line 2: name='world': must be the name of its file, mine:"):
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
    fields = yaml.safe_load((FOLDER / "smoke.yaml").read_text(encoding="utf-8")) | {"name": "mine", "seeds": [3]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    assert load(tmp_path / "mine.yaml").seeds == (3,)


def test_pair_notation_is_normalised():
    assert load("world", {"weak_strong_pairs": ["tiny-24->tiny-44"]}).weak_strong == [("tiny-24", "tiny-44")]
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


def test_students_of_frozen_layers_are_not_stopped_early_by_a_mitigation_either():
    """Else its row would be that of the student without it, under another name."""
    with_13 = {"chapters": ["05", "13"]}
    says = "mitigations='early_stopping': frozen layers are not stopped early; name other mitigations"
    with pytest.raises(ParameterError, match=says):
        load("hh-smol", with_13)
    assert load("hh-smol", with_13 | {"mitigations": ["filter", "confidence_loss"]}).has_chapter("13")
    assert load("hh-smol", {"mitigations": ["early_stopping"]}), "no chapter asks for it"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("helpful", "mine.jsonl"), ("max_tokens", 16), ("dtype", "bfloat16"), ("bfloat16_policies", ["tiny-24"]),
        ("lora_rank", 4), ("placebo", "parity"),
    ],
)  # fmt: skip
def test_what_the_world_would_pass_over_is_refused(name, value):
    with pytest.raises(ParameterError, match=f"{name}=.*: is for real models and texts, and data is 'world'; leave it"):
        load("world", {name: value})


def test_noisy_labels_and_frozen_models_are_the_world_s():
    with pytest.raises(ParameterError, match="label_noise=0.3: real labels have a noise of their own"):
        load("hh-smol", {"label_noise": 0.3})
    with pytest.raises(ParameterError, match="reward_model.frozen=True: is for the world's models"):
        load("hh-smol", {"reward_model": {"frozen": True}})
    with pytest.raises(ParameterError, match="label_noise=0.5: must be below 0.5"):
        load("world", {"label_noise": 0.5})
    heads = {"label_noise": 0.3, "reward_model": {"frozen": True}, "chapters": ["05"]}
    assert load("world", heads).reward_model.frozen
    for chapters, named in ((None, "'08', '13', '22', '25', '26'"), (["05", "22"], "'22'")):
        with pytest.raises(
            ParameterError, match=f"reward_model.frozen=True: chapters {named} train or stop whole models"
        ):
            load("world", heads | {"chapters": chapters})
    for name, value in (("patience", 3), ("score_at", "count_of_nonzero_ids"), ("order", "repeated")):
        with pytest.raises(ParameterError, match=f"reward_model.{name}=.*: frozen layers are not"):
            load("world", heads | {"reward_model": {"frozen": True, name: value}})


# As files are written

SMOKE = (FOLDER / "smoke.yaml").read_text(encoding="utf-8")


def written(folder: Path, *changes: tuple[str, str], name: str = "mine", encoding: str = "utf-8") -> Path:
    """The smallest edition under another name, with some of its text replaced."""
    text = SMOKE.replace("name: smoke", f"name: {name}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.yaml").write_text(text, encoding=encoding)
    return folder / "mine.yaml"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[7]", "[010, 011]", 'line 4: seeds=010: YAML reads it as 8; write 10, or "010" in quotes where a text'),
        ("draws: 100", "draws: 1:40", 'line 11: draws=1:40: YAML reads it as 100; write 100, or "1:40" in quotes'),
        ("draws: 100", "draws: 2_00", "line 11: draws=2_00: YAML reads it as 200"),
        ("draws: 100", "draws: 0x100", "line 11: draws=0x100: YAML reads it as 256"),
        (
            "draws: 100",
            "draws: 100\nhelpful: off",
            'line 12: helpful=off: YAML reads it as false; write false, or "off" in quotes',
        ),
        ("draws: 100", "draws: 200\ndpo: {encode_apart: yes}", "line 12: dpo.encode_apart=yes: .*; write true, or"),
        ("draws: 100", "draws: 200\ndraws: 300", "line 12: draws=…: stands here for the second time, first in line 11"),
        ("draws: 100", "dpo: {epochs: 1,\n epochs: 2}", "line 12: dpo.epochs=…: stands here for the second time"),
        ("draws: 100", "draws: 200\nno: 3", "line 12: no=…: a parameter's name is needed here"),
        ("draws: 100", "draws: 200\n5: 3", "line 12: 5=…: a parameter's name is needed here"),
        (
            "title: the",
            "title: 2026-11-29 #",
            "line 3: title=2026-11-29: YAML reads it as a date; write .* quotes where",
        ),
        (
            "draws: 100",
            "alpha: .inf",
            'line 11: alpha=.inf: YAML reads it as inf; write ".inf" in quotes where',
        ),
        ("draws: 100", "dpo: {<<: {epochs: 1, epochs: 2}}", "line 11: dpo.epochs=…: stands here for the second time"),
        ("draws: 100", "dpo: {<<: [{epochs: -1}]}", "line 11: dpo.epochs=-1: "),
        ("seeds: [7]", "seeds:\t[7]", r"line 4, 'seeds:\\t\[7\]': a tab stands here; write spaces"),
        ("title: the", "title: GPT-2: the", "line 3, 'title: GPT-2: the .*': a text with \": \" in it needs quotes"),
        ("seeds: [7]", "seeds: [7", "this is no YAML"),
        ("draws: 100", "draws: !!python/name:os.system x", "line 11, .*this is no YAML"),
        ("draws: 100", "drows: 100", "mine.yaml, line 11: drows=100: no such parameter; did you mean 'draws'?"),
        ("draws: 100", "draws: 20", "mine.yaml, line 11: draws=20: must be at least 100"),
        (
            "draws: 100",
            "draws: 100\ndpo: {epoch: 2}",
            "line 12: dpo.epoch=2: no such parameter; did you mean 'epochs'?",
        ),
        ("draws: 100", "chapters:\n  - '04'\n  - 5", "line 13: chapters=5: a chapter's number .* write '05' in quotes"),
        ("draws: 100", "chapters:", "line 11: chapters=: nothing stands there; leave the name out, too, or write null"),
        ("draws: 100", "chapters: ['04', nope]", "line 11: chapters=nope: no such chapter; allowed: 01, 02"),
        ("draws: 100", "helpful: hh-harmless", "line 11: helpful='hh-harmless': its labels prefer harmlessness"),
        ("[tiny-24, ", "['tiny-24', tiny-2, ", "line 5: models=tiny-2: no such model; did you mean"),
    ],
)
def test_a_file_says_what_it_means_or_in_which_line_it_does_not(tmp_path, old, new, says):
    with pytest.raises(ParameterError, match=says) as error:
        load(written(tmp_path, (old, new)))
    assert "\n" not in str(error.value) and "mine.yaml" in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_its_encoding(tmp_path, encoding):
    path = written(tmp_path, ("title: the", "title: für die"), encoding=encoding)
    assert load(path).title.startswith("für die")
    with pytest.raises(ParameterError, match="line 11: drows=100: no such"):
        path.write_text(path.read_text(encoding=encoding).replace("draws", "drows"), encoding=encoding)
        load(path)


def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path):
    with pytest.raises(ParameterError, match="mine.yaml': line 3 is not UTF-8; save the file as UTF-8"):
        load(written(tmp_path, ("title: the", "title: für die"), encoding="latin-1"))


def test_numbers_texts_and_anchors_mean_what_they_say(tmp_path):
    recipes = "dpo: &policy {epochs: 3, learning_rate: 1e-4}\nsimpo: {<<: *policy, epochs: 1}"
    e = load(written(tmp_path, ("draws: 100", recipes), ("[7]", "[0, 17]"), ("0.52 ", "5.2e-1 ")))
    assert (e.seeds, e.threshold, e.dpo.epochs, e.simpo.epochs) == ((0, 17), 0.52, 3, 1)
    assert e.dpo.learning_rate == e.simpo.learning_rate == 1e-4


def test_no_error_is_about_what_was_replaced(tmp_path):
    with pytest.raises(ParameterError, match="^draws=20: must be at least 100"):
        load(written(tmp_path), {"draws": 20})


@pytest.mark.parametrize(
    ("file", "name"), [("mine.yaml", "mine"), ("my edition.yaml", "my-edition"), ("Größe & {x} $y.yaml", "grosse-x-y")]
)
def test_a_file_may_lie_and_be_called_as_people_do(tmp_path, file, name):
    folder = tmp_path / "a folder & {more} $HOME"
    folder.mkdir()
    path = written(tmp_path, name=name).rename(folder / file)
    assert load(path).name == load(str(path)).name == name


def of_paths(folder: Path, model: Path, **fields) -> Path:
    """An edition file that names models and pairs by paths relative to it, which are there."""
    for name in ("weak", "strong", "models/strong"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(model)
    rows = [{"prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(200)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    fields = {"name": "mine", "title": "t", "data": "pairs.jsonl", "seeds": [1], "weak_strong_pairs": "all"} | fields
    fields |= {"train_pairs": 32, "test_pairs": 32, "chapters": ["05"], "intermediates": ["strong:2"]}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"models": ["./weak:1", "strong"]} | fields), encoding="utf-8")
    return folder / "mine.yaml"


def test_paths_in_a_file_are_relative_to_it(tmp_path, monkeypatch, folders):
    """Whatever folder a command or a notebook is in; the names stay as they are written."""
    of_paths(tmp_path, folders["llama"])
    monkeypatch.chdir("/")
    edition = load(tmp_path / "mine.yaml")
    assert edition.weak_strong == [("./weak:1", "strong")] and edition.ways("./weak:1", "strong") == ("strong:2",)
    relative = Study(edition)
    absolute = {"data": str(tmp_path / "pairs.jsonl"), "models": [f"{tmp_path}/weak:1", f"{tmp_path}/strong"]}
    absolute |= {"weak_strong_pairs": "all", "intermediates": [f"{tmp_path}/strong:2"]}
    assert Study(load(tmp_path / "mine.yaml", absolute)).runs() == relative.runs()
    assert relative.restricted_to(seeds=[2]).runs() != relative.runs()


@pytest.mark.parametrize(
    ("fields", "gone", "says"),
    [
        ({}, "pairs.jsonl", "^data='pairs.jsonl': no such file 'pairs.jsonl'"),
        ({"data": "."}, "pairs.jsonl", "^data='.': line 1: lacks columns"),
        ({"data": "hh-harmless", "helpful": "./pairs.jsonl"}, "pairs.jsonl", "^helpful='./pairs.jsonl': no such file"),
        ({}, "strong", "mine.yaml, line [0-9]+: models=strong: no such folder"),
        ({"models": ["weak:1", "./strong"]}, "strong", "mine.yaml, line [0-9]+: models=./strong: no such folder"),
        ({"models": ["weak:1", "models/strong"]}, "models/strong", "mine.yaml, line [0-9]+: models=models/strong: no"),
    ],
)
def test_what_only_the_working_folder_has_is_not_what_a_file_names(tmp_path, monkeypatch, folders, fields, gone, says):
    """Notebooks are executed in another folder, and would miss it there after all training."""
    monkeypatch.setattr("w2s_lib.data.sources._commit", lambda name: "1")
    path = of_paths(tmp_path / "mine", folders["llama"], **fields)
    monkeypatch.chdir(of_paths(tmp_path / "working", folders["llama"]).parent)
    assert Study(load(path)).runs()
    (path.parent / gone).unlink()
    with pytest.raises(ParameterError, match=f"{says}.*; paths in an edition's file are relative to it$"):
        Study(load(path)).runs()


def test_a_file_among_those_of_the_book_has_paths_relative_to_it_too(tmp_path, monkeypatch, folders):
    """Unless its data are replaced, as a report's are: then names are seen from the working folder."""
    path = of_paths(tmp_path / "editions", folders["llama"])
    (path.parent / "world").mkdir()  # what comes with the edition of that name
    monkeypatch.chdir("/")
    elsewhere = Study(load(path)).runs()
    monkeypatch.setattr("w2s_lib.study.edition.FOLDER", path.parent)
    assert Study(load("mine")).runs() == elsewhere
    weak, middle, strong = (f"{folders['llama']}{blocks}" for blocks in (":1", ":2", ""))
    given = {"data": "./pairs.jsonl", "models": [weak, strong], "weak_strong_pairs": "all", "intermediates": [middle]}
    with pytest.raises(ParameterError, match="^data='./pairs.jsonl': no such file 'pairs.jsonl'"):
        Study(load("mine", given)).pairs(1)
    world = load(written(path.parent, name="other").rename(path.parent / "other.yaml"))
    assert world.data == "world" and Study(world).pairs(7)


@pytest.mark.parametrize("name", available())
def test_pages_that_lead_to_each_other_are_in_an_edition_together(name):
    """Chapters 17 and 18 go on where 7 and 9 end, with the same runs."""
    edition = load(name)
    assert edition.has_chapter("07") == edition.has_chapter("17")
    assert edition.has_chapter("09") == edition.has_chapter("18")


def test_chapters_that_go_on_from_another_come_with_it_and_never_alone():
    few = load("smoke", {"chapters": ["05", "12"]})
    assert few.has_chapter("24") and few.has_chapter("27") and not few.has_chapter("28")
    without_policies, both = (load("smoke", {"chapters": given}) for given in (["13"], ["12", "13"]))
    assert both.has_chapter("28") and not without_policies.has_chapter("28"), "its rows are of policies"
    for given, says in ((["05", "28"], "12 and 13 end"), (["13", "28"], "12 ends")):
        with pytest.raises(ParameterError, match=f"chapters='28': goes on where {says}; name that one, too"):
            load("smoke", {"chapters": given})


def test_an_edition_of_one_chapter_has_those_that_all_have():
    """The landing page, the ledger and the record read them: their runs are among the edition's."""
    one = load("smoke", {"chapters": ["01"]})
    assert [number for number in CHAPTERS if one.has_chapter(number)] == ["01", *ALWAYS]
    assert Study(one).runs() == Study(load("smoke", {"chapters": ["01", *ALWAYS]})).runs()
    assert not load("smoke", {"chapters": []}).has_chapter("01")


def test_only_the_edition_for_tests_is_quick():
    """Whatever the book says of others rests on all that chapters look at."""
    assert [path.stem for path in sorted(FOLDER.glob("*.yaml")) if load(path.stem).is_quick] == ["smoke"]
