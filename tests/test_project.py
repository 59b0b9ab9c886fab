"""The files that people meet first keep step with each other."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import w2s_lib
from w2s_lib.findings import record
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.lab.provenance import PACKAGES
from w2s_lib.study.edition import load

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_delegates_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert len(pip) == 1
    extras = re.fullmatch(r"--editable \.\[(.+)\]", pip[0]).group(1).split(",")
    assert set(extras) == set(PROJECT["optional-dependencies"])
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python=")]
    minimum = PROJECT["requires-python"].removeprefix(">=")
    assert python == f"python={minimum}"
    named = {re.split(r"[=<>]", d)[0] for d in environment["dependencies"] if isinstance(d, str)}
    assert not named & {re.split(r"[=<>\[]", d)[0] for d in PROJECT["dependencies"]}, "versions stand in one place"


def test_a_dev_container_has_the_python_and_the_command_of_everyone():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"].rpartition(":")[2] == PROJECT["requires-python"].removeprefix(">=") == PYTHON
    (target,) = re.fullmatch(r"make (\w+)", container["postCreateCommand"]).groups()
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    made = re.search(r"^VENV +:= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    settings = container["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith(f"/{made}/bin/python")


def test_direct_dependencies_are_pinned():
    assert all("==" in d for d in PROJECT["dependencies"])
    assert set(PACKAGES) == {d.split("==")[0] for d in PROJECT["dependencies"]}


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == w2s_lib.__version__ == citation["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_what_is_said_to_those_who_cite_is_one():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    meta = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    same = ("version", "keywords")
    assert {name: meta[name] for name in same} == {name: cited[name] for name in same}
    assert (meta["name"], meta["datePublished"]) == (cited["title"], str(cited["date-released"]))
    assert meta["license"].endswith(f"/{cited['license']}") and meta["runtimePlatform"].endswith(PYTHON)
    assert [one["name"] for one in meta["author"]] == [one["name"] for one in cited["authors"]]
    assert meta["referencePublication"] == cited["references"][0]["url"]
    bibtex = (ROOT / "book" / "index.md").read_text(encoding="utf-8").partition("```bibtex")[2].partition("```")[0]
    told = dict(re.findall(r"(\w+)\s*= \{+([^{}]*)\}+", bibtex))
    year = str(cited["date-released"])[:4]
    assert told == {"title": cited["title"], "author": cited["authors"][0]["name"], "year": year,
                    "version": cited["version"], "license": cited["license"]}  # fmt: skip


def test_the_readme_begins_with_the_landing_pages_sentences_as_the_record_has_them():
    landing = (ROOT / "book" / "index.md").read_text(encoding="utf-8").partition("grid-item-card")[0]
    asked = re.findall(r"^- \{glue:text\}`notebooks/14_claims.ipynb::sentence_(\w+):s`$", landing, re.MULTILINE)
    rows = record.by_chapter(record.summarise(record.rows_of(load("world"))))
    told = ledger(rows, [CLAIMS[key] for key in asked])["sentence"].tolist()
    head = (ROOT / "README.md").read_text(encoding="utf-8").partition("three sentences:")[2].partition("![")[0]
    assert [" ".join(said.split()) for said in head.split("\n- ")[1:]] == told and len(told) == 3


def test_the_readme_names_every_package_and_edition_in_short_lines():
    readme = (ROOT / "README.md").read_text()
    rooms = [
        p
        for p in (ROOT / "w2s_lib").iterdir()
        if p.suffix == ".py" and p.stem != "__init__" or (p / "__init__.py").is_file()
    ]
    editions = [path.stem for path in (ROOT / "notebooks" / "editions").glob("*.yaml") if path.stem != "hh-smol-tuned"]
    assert not [p.name for p in rooms if p.name not in readme] and not [name for name in editions if name not in readme]
    assert max(map(len, readme.splitlines())) <= 104


def test_the_reference_names_every_module():
    told = "\n".join(path.read_text() for path in (ROOT / "book" / "api").glob("*.md"))
    modules = [p for p in (ROOT / "w2s_lib").rglob("*.py") if not p.stem.startswith("__") and "figures" not in p.parts]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in modules]
    assert sorted(re.findall(r"automodule:: (\S+)", told)) == sorted(names)


@pytest.mark.parametrize(
    "target", ["env", "book", "test", "test-quick", "serve", "lab", "bench", "bench-quick", "lint", "clean"]
)
def test_make_help_lists_every_target(target):
    text = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.search(rf"^\s*(make )?{target} ", text, re.M), text


@pytest.mark.parametrize("target", ["book", "serve", "record"])
@pytest.mark.parametrize(
    "name", ["my folder/ed & x.yaml", "it's $HOME {a}.yaml", "größe.yaml", 'a$(b) "c"; d.yaml', "`e`"]
)
def test_make_hands_on_an_edition_as_it_is(target, name, tmp_path):
    """One argument, whatever stands in it, from the command line or from the environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".complete").touch()
    stand_in = f'#!{sys.executable}\nimport json, os, sys\nopen("told", "a").write(json.dumps(sys.argv[1:]) + "\\n")\n'
    for how, environment in (([f"EDITION={name}"], {}), ([], {"EDITION": name})):
        (tmp_path / "python").write_text(stand_in, encoding="utf-8")
        (tmp_path / "python").chmod(0o755)
        command = ["make", "-s", target, "SEEDS=500", "RUN=./python", *how]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        first = json.loads((tmp_path / "told").read_text(encoding="utf-8").splitlines()[0])
        assert first[first.index("--edition") + 1] == name
        (tmp_path / "told").unlink()


def test_changelog_says_whether_numbers_are_comparable():
    bullets = re.findall(r"^- .*?(?=^- |^#|\Z)", (ROOT / "CHANGELOG.md").read_text(), re.M | re.S)
    assert bullets and all(re.search(r"[Nn]umbers comparable: (yes|no)", b) for b in bullets)


def test_every_file_that_is_no_module_comes_with_an_installation():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
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
        binary = any(isinstance(word, str) and re.fullmatch("[rwxa+]*b[rwxa+]*", word) for word in said)
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
        for folder in ("w2s_lib", "book/_ext")
        for path in (ROOT / folder).rglob("*.py")
    }
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code[path] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found = {
        str(path.relative_to(ROOT)): lines for path, text in code.items() if (lines := opened_as_the_locale_says(text))
    }
    assert len(code) > 100 and not found
