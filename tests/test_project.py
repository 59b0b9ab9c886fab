"""The files that people meet first keep step with each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import w2s_lib
from w2s_lib.lab.provenance import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
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


def test_direct_dependencies_are_pinned():
    assert all("==" in d for d in PROJECT["dependencies"])
    assert set(PACKAGES) == {d.split("==")[0] for d in PROJECT["dependencies"]}


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == w2s_lib.__version__ == citation["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


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
