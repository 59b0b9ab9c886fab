"""The files that people meet first keep step with each other."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib.metadata import distributions, requires, version
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import w2s_lib
from w2s_lib.book.build import REPRODUCIBILITY, notebook_paths
from w2s_lib.book.pages import KEYS_OF_PAGES, PACK
from w2s_lib.findings import record
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.results import pick, say
from w2s_lib.lab.provenance import PACKAGES
from w2s_lib.study.edition import ALSO, FOLDER, PARAMETERS, Edition, load
from w2s_lib.study.mitigations import REVERSE, TWO_STAGES, USUAL
from w2s_lib.study.seeds import LOOKED

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


CUDA = re.compile(r"nvidia-|cuda-|triton$")
"""What only the builds of torch for GPUs need."""


def locked() -> dict[str, Requirement]:
    """What the lock names, by package."""
    lines = re.findall(r"^([a-z0-9].*?) \\$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def here(locked: dict[str, Requirement]) -> dict[str, str]:
    """The versions that a lock names for this Python on this machine."""
    return {
        name: str(one.specifier).removeprefix("==")
        for name, one in locked.items()
        if one.marker is None or one.marker.evaluate()
    }


def installed() -> dict[str, str]:
    """The versions of all packages that are installed, without where a build comes from (``+cpu``)."""
    found = {canonicalize_name(one.name): Version(one.version).public for one in distributions()}
    return {name: version for name, version in found.items() if name not in ("w2s-deception", "pip")}


@cache
def needed(extra: str) -> set[str]:
    """All packages that the project needs, with an extra, transitive ones too, by what is installed."""
    seen, todo = set(), [("w2s-deception", frozenset([extra]))]
    while todo:
        name, wanted = todo.pop()
        for one in map(Requirement, requires(name) or ()):
            said = canonicalize_name(one.name), frozenset(one.extras)
            asked = one.marker is None or any(one.marker.evaluate({"extra": e}) for e in {"", *wanted})
            if asked and said not in seen:
                seen.add(said)
                todo.append(said)
    return {name for name, _ in seen}


def amiss(there: dict[str, str], told: dict[str, str]) -> set[str]:
    """Packages of another version than the lock's, too many or too few.

    None of CUDA's is missed beside a build of torch for CPUs, and none that only JupyterLab and clusters need where
    they have been left out.
    """
    other = {name for name, found in there.items() if told.get(name) != found}
    missing = {name for name in told.keys() - there.keys() if not ("+" in version("torch") and CUDA.match(name))}
    return other | (missing if "jupyterlab" in there else missing & needed("dev"))


def test_the_environment_is_the_lock():
    assert not amiss(installed(), here(locked()))


def test_an_environment_that_is_not_the_lock_is_found():
    there, told = installed(), here(locked())
    assert amiss(there | {"numpy": "1.0", "left-pad": "1.0"}, told) == {"numpy", "left-pad"}
    for name in ("numpy", "soupsieve", "ruff"):  # needed; needed by what is needed; needed to develop
        assert amiss({one: found for one, found in there.items() if one != name}, told) == {name}


def test_the_lock_has_every_package_with_hashes_and_agrees_with_the_project():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks) and len(blocks) == len(locked())
    assert all(re.fullmatch("==[^,*]+", str(one.specifier)) for one in locked().values())
    asked = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    for one in map(Requirement, asked):
        assert str(locked()[canonicalize_name(one.name)].specifier).removeprefix("==") in one.specifier, one


def test_conda_binder_and_colab_install_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["dependencies"][-1] == {"pip": ["--requirement requirements.lock"]}
    binder = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    assert binder["dependencies"] == environment["dependencies"][:-1]
    assert f"python={PYTHON}" in binder["dependencies"]
    build = ROOT / ".binder" / "postBuild"
    assert os.access(build, os.X_OK)
    cell = (ROOT / "book" / "how-to-rerun.md").read_text(encoding="utf-8")
    for text in (build.read_text(encoding="utf-8"), cell):
        assert re.search(r"^(!git clone .* && |PIP_\S+ )make (-C w2s )?packages RUN=python$", text, re.MULTILINE)


def test_continuous_integration_tries_every_python_that_the_project_names():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))["jobs"]
    named = SpecifierSet(PROJECT["requires-python"])
    tried = jobs["pythons"]["strategy"]["matrix"]["python"]
    assert tried == [f"3.{minor}" for minor in range(30) if f"3.{minor}.99" in named]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    guard = re.search(r"not \((.*?)\) <= sys.version_info < \((.*?)\)\)", makefile)
    least, beyond = (".".join(part.split(", ")) for part in guard.groups())
    assert named == SpecifierSet(f">={least},<{beyond}")


def test_a_dev_container_has_the_python_and_the_command_of_everyone():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"].rpartition(":")[2] == PYTHON
    assert f"{PYTHON}.99" in SpecifierSet(PROJECT["requires-python"])
    (target,) = re.fullmatch(r"make (\w+)", container["postCreateCommand"]).groups()
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    made = re.search(r"^VENV +:= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    settings = container["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith(f"/{made}/bin/python")


def test_direct_dependencies_are_pinned():
    assert all("==" in d for d in PROJECT["dependencies"])
    assert set(PACKAGES) == {d.split("==")[0] for d in PROJECT["dependencies"]}


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == w2s_lib.__version__ == citation["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_is_said_to_those_who_cite_is_one():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    meta = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    same = ("version", "keywords")
    assert {name: meta[name] for name in same} == {name: cited[name] for name in same}
    assert (meta["name"], meta["datePublished"]) == (cited["title"], str(cited["date-released"]))
    assert meta["description"] == cited["abstract"]
    assert meta["license"].endswith(f"/{cited['license']}") and meta["runtimePlatform"].endswith(PYTHON)
    assert [one["name"] for one in meta["author"]] == [one["name"] for one in cited["authors"]]
    assert meta["referencePublication"] == cited["references"][0]["url"]
    bibtex = (ROOT / "book" / "index.md").read_text(encoding="utf-8").partition("```bibtex")[2].partition("```")[0]
    told = dict(re.findall(r"(\w+)\s*= \{+([^{}]*)\}+", bibtex))
    year = str(cited["date-released"])[:4]
    assert told == {"title": cited["title"], "author": cited["authors"][0]["name"], "year": year,
                    "version": cited["version"], "license": cited["license"]}  # fmt: skip


@cache
def recorded() -> pd.DataFrame:
    """Results rows over the record's seeds."""
    return record.summarise_record(record.rows_of(load("world")))


@pytest.mark.parametrize(
    ("names", "all_of_it"),
    [
        (("04_weak_to_strong", "pgr", "none", ""), True),
        (("05_conflict_tax_deception", "deception_score", "explicit", ""), True),
        (("05_conflict_tax_deception", "null_margin_matched", "explicit", ""), False),
        (("05_conflict_tax_deception", "excess_margin_matched", "explicit", ""), True),
        (("05_conflict_tax_deception", "attainable_margin_matched", "explicit", ""), False),
        (("05_conflict_tax_deception", "excess_margin_matched", "explicit", "rerun"), True),
        (("05_conflict_tax_deception", "excess_margin_matched", "implicit", ""), True),
        (("05_conflict_tax_deception", "excess_weak_matched", "explicit", ""), True),
        (("12_preference_optimisation", "excess_margin_matched", "implicit", "", "dpo"), True),
        (("17_positive_controls", "excess_weak_matched", "explicit", "", "reward_model", "perfect"), False),
        (("17_positive_controls", "excess_margin_matched", "explicit", "", "reward_model", "by_label"), False),
        (("17_positive_controls", "excess_weak_matched", "explicit", "", "reward_model", "by_label"), False),
    ],
)
def test_the_readmes_numbers_are_the_records(names, all_of_it):
    chapter, statistic, condition, versus, method, planted = (*names, *("reward_model", "")[len(names) - 4 :])
    rows = recorded()
    mine = rows[rows["chapter"] == chapter]
    row = pick(mine, statistic, condition, versus=versus, method=method, planted=planted)
    told = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()).replace("−", "-")
    number = say(row)
    assert (number if all_of_it else number.partition(" [")[0]) in told


def test_what_the_readme_says_of_the_works_around_the_paper_is_what_the_record_decides():
    keys = ("L3", "L4", "A1", "A2", "S3", "K1", "M6")
    told = ledger(record.by_chapter(recorded()), [CLAIMS[key] for key in keys]).set_index("claim")
    assert told["verdict"].to_dict() == dict(zip(keys, ("yes", "yes", "undecided", "yes", "yes", "no", "no")))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert say(record.of_claims(recorded(), [CLAIMS["L4"]]).iloc[0]) in readme


def test_the_readme_says_which_seeds_the_record_holds():
    seeds = record.load_record(record.record_folder(load("world"))).seeds
    assert f"the study seeds {seeds[0]} to {seeds[-1]} of" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert seeds == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) == LOOKED[-1]


def test_the_readme_begins_with_the_landing_pages_sentences_as_the_record_has_them():
    landing = (ROOT / "book" / "index.md").read_text(encoding="utf-8").partition("grid-item-card")[0]
    asked = re.findall(r"^- \{glue:text\}`notebooks/14_claims.ipynb::sentence_(\w+):s`$", landing, re.MULTILINE)
    told = ledger(record.by_chapter(recorded()), [CLAIMS[key] for key in asked])["sentence"].tolist()
    head = (ROOT / "README.md").read_text(encoding="utf-8").partition("three sentences:")[2].partition("![")[0]
    assert [" ".join(said.split()) for said in head.split("\n- ")[1:]] == told and len(told) == 3


def test_the_readme_names_every_package_and_edition_in_short_lines():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rooms = [
        p
        for p in (ROOT / "w2s_lib").iterdir()
        if p.suffix == ".py" and p.stem != "__init__" or (p / "__init__.py").is_file()
    ]
    editions = [path.stem for path in (ROOT / "notebooks" / "editions").glob("*.yaml")]
    assert not [p.name for p in rooms if p.name not in readme] and not [name for name in editions if name not in readme]
    assert max(map(len, readme.splitlines())) <= 100


def test_the_time_of_a_preview_and_what_it_has_are_told_alike():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    costs = (ROOT / "book" / "teaching" / "costs.md").read_text(encoding="utf-8")
    [took] = re.findall(r"^make preview # every chapter, .*: (.+), no training$", readme, re.MULTILINE)
    assert re.findall(r"^\| `make preview`: [^|]* \| (.+?) \| measured", costs, re.MULTILINE) == [took]
    assert f"shipped results | {took}, once |" in costs
    with zipfile.ZipFile(FOLDER / "preview" / PACK) as pages:
        come = set(json.loads(pages.read(KEYS_OF_PAGES)))
    assert come == {path.stem for path in notebook_paths()} - {REPRODUCIBILITY}


def test_the_reference_names_every_module():
    told = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "book" / "api").glob("*.md"))
    modules = [p for p in (ROOT / "w2s_lib").rglob("*.py") if not p.stem.startswith("__") and "figures" not in p.parts]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in modules]
    assert sorted(re.findall(r"automodule:: (\S+)", told)) == sorted(names)


@pytest.mark.parametrize(
    "target",
    ["env", "packages", "lock", "book", "test", "test-quick", "serve", "lab", "bench", "bench-quick", "lint", "clean"],
)
def test_make_help_lists_every_target(target):
    text = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8").stdout
    assert re.search(rf"^\s*(make )?{target} ", text, re.M), text


@pytest.mark.parametrize("target", ["book", "serve", "record"])
@pytest.mark.parametrize(
    "name", ["my folder/ed & x.yaml", "it's $HOME {a}.yaml", "größe.yaml", 'a$(b) "c"; d.yaml', "`e`"]
)
def test_make_hands_on_an_edition_as_it_is(target, name, tmp_path):
    """One argument, whatever stands in it, from the command line or from the environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("pyproject.toml", "requirements.lock"):
        (tmp_path / file).touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".complete").touch()
    stand_in = f'#!{sys.executable}\nimport json, os, sys\nopen("told", "a").write(json.dumps(sys.argv[1:]) + "\\n")\n'
    for how, environment in (([f"EDITION={name}"], {}), ([], {"EDITION": name})):
        (tmp_path / "python").write_text(stand_in, encoding="utf-8")
        (tmp_path / "python").chmod(0o755)
        command = ["make", "-s", target, "SEEDS=500", "RUN=./python", *how]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        first = json.loads((tmp_path / "told").read_text(encoding="utf-8").splitlines()[0])
        assert first[first.index("--edition") + 1] == name
        (tmp_path / "told").unlink()


def test_changelog_says_whether_numbers_are_comparable():
    bullets = re.findall(r"^- .*?(?=^- |^#|\Z)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M | re.S)
    assert bullets and all(re.search(r"[Nn]umbers comparable: (yes|no)", b) for b in bullets)


def test_every_file_that_is_no_module_comes_with_an_installation():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    carried = {
        p
        for name, patterns in settings.items()
        for pattern in patterns
        for p in (ROOT / name.replace(".", "/")).glob(pattern)
    }
    others = {p for p in (ROOT / "w2s_lib").rglob("*.*") if p.suffix not in (".py", ".pyc")}
    assert carried == others and others


OPENERS = {
    "open",
    "fdopen",
    "read_text",
    "write_text",
    "run",
    "Popen",
    "check_output",
    "TemporaryFile",
    "NamedTemporaryFile",
}


def opened_as_the_locale_says(source: str) -> list[int]:
    """Lines of calls that read or write text, and leave its encoding to the machine."""
    lines = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        said = [a.value for a in (*call.args, *given.values()) if isinstance(a, ast.Constant)]
        picture = name == "open" and getattr(getattr(call.func, "value", None), "id", "") == "Image"
        binary = picture or any(isinstance(word, str) and re.fullmatch("[rwxa+]*b[rwxa+]*", word) for word in said)
        if name in ("run", "Popen", "check_output"):
            binary = not {"text", "universal_newlines"} & given.keys()
        if name.endswith("TemporaryFile"):
            binary = "mode" not in given
        if name in OPENERS and not binary and "encoding" not in given:
            lines.append(call.lineno)
    return lines


@pytest.mark.parametrize(
    "text",
    ["open('a')", "open('a', 'w')", "p.open()", "gzip.open('a', 'rt')", "p.read_text()", "p.write_text('a')",
     "subprocess.run(a, text=True)"],
)  # fmt: skip
def test_what_leaves_its_encoding_to_the_machine_is_found(text):
    assert opened_as_the_locale_says(text) == [1]
    assert not opened_as_the_locale_says(text[:-1] + (", " if "(" != text[-2] else "") + "encoding='utf-8')")


def test_every_file_is_opened_as_utf8():
    """A machine whose locale is not UTF-8 would read other letters, or write half a page and stop."""
    code = {
        path: path.read_text(encoding="utf-8")
        for folder in ("w2s_lib", "book/_ext", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code[path] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found = {
        str(path.relative_to(ROOT)): lines for path, text in code.items() if (lines := opened_as_the_locale_says(text))
    }
    assert len(code) > 100 and not found


SIGNS = {("≤", 0): "Ge", ("<", 0): "Gt", ("≤", 1): "Le", ("<", 1): "Lt"}
"""What pydantic calls a bound that is written before a parameter, or behind it."""


def test_the_page_on_parameters_names_those_that_there_are_with_their_bounds():
    page = (ROOT / "book" / "how-to-rerun.md").read_text(encoding="utf-8")
    table = page.partition("| parameter |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+?`) \| .+? \| (.*?) ?\|$", table, re.MULTILINE)
    told = {name: allowed for names, allowed in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == {*PARAMETERS, *chain(*ALSO.values())}
    few = ("none", "one", "two", "three", "four", "five", "six")
    assert f"{few[len(ALSO)]} chapters take more" in page.lower()
    bounded = {name: re.fullmatch(r"([\d.]+) ([<≤]) \w+ ([<≤]) ([\d.]+)", allowed) for name, allowed in told.items()}
    bounded = {name: found.groups() for name, found in bounded.items() if found}
    for name, (least, before, behind, most) in bounded.items():
        ends = {SIGNS[before, 0]: float(least), SIGNS[behind, 1]: float(most)}
        of = {type(one).__name__: one for one in Edition.model_fields[name].metadata}
        assert ends == {kind: getattr(one, kind.lower()) for kind, one in of.items() if kind in SIGNS.values()}, name
    assert len(bounded) == 9
    assert re.findall(r"`(\w+)`", told["mitigations"]) == [*USUAL, *REVERSE, *TWO_STAGES]


def test_the_files_that_contributors_are_sent_to_are_there():
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told += (ROOT / "README.md").read_text(encoding="utf-8").partition("| what | where |")[2].partition("\n\n")[0]
    paths = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", told))
    assert len(paths) > 20
    assert not [path for path in paths if not any((at / path).exists() for at in (ROOT, ROOT / "w2s_lib"))]


@pytest.mark.parametrize("target", ["release", "slides"])
@pytest.mark.parametrize(("pdf", "left_out"), [("yes", False), ("no", True)])
def test_make_does_without_a_browser_where_it_is_told(target, pdf, left_out):
    command = ["make", "-n", "-o", ".venv/.complete", target, f"PDF={pdf}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8").stdout
    assert f"w2s_lib.book.{target} " in said and ("--no-pdf" in said) == left_out
