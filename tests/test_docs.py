"""README and docs: links have a target, command lines can be parsed, and Python examples run."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(language: str) -> list[tuple[str, str]]:
    """Return (page, text) of all code blocks in a language."""
    return [
        (path.name, text)
        for path in PAGES
        for found, text in _BLOCK.findall(path.read_text(encoding="utf-8"))
        if found == language
    ]


def lines() -> list[tuple[str, str]]:
    """Return (page, command line) of all commands of this package in shell blocks."""
    found = []
    for page, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            for part in line.split("|"):
                words = part.strip()
                if words.startswith(("python -m tuning.", ".venv/bin/python -m tuning.")):
                    found.append((page, words.removeprefix(".venv/bin/")))
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    for link in _LINK.findall(re.sub(_BLOCK, "", path.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://", "mailto:", "…")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(path: Path) -> set[str]:
    """Return the URL fragments of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(_BLOCK, "", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_can_be_read_in_one_go():
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 180


@pytest.mark.parametrize(("page", "line"), lines(), ids=lambda value: value if " " in value else None)
def test_every_command_line_is_understood(page, line):
    words = shlex.split(line, comments=True)
    words = words[: next((at for at, word in enumerate(words) if word in (">", ">>")), len(words))]
    module = importlib.import_module(words[2])
    module.options().parse_args(words[3:])


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(("page", "text"), blocks("bash"), ids=lambda value: value if value.endswith(".md") else None)
def test_every_script_is_shell(page, text):
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("page", "text"), blocks("yaml"), ids=lambda value: value if value.endswith(".md") else None)
def test_every_manifest_names_its_kind_and_starts_a_command_that_is_understood(page, text):
    documents = list(yaml.safe_load_all(text))
    assert all(document["kind"] and document["metadata"]["name"] for document in documents)
    for document in documents:
        if entrypoint := document["spec"].get("entrypoint"):
            words = shlex.split(entrypoint)
            importlib.import_module(words[2]).options().parse_args(words[3:])


def test_there_are_command_lines_to_look_at():
    assert len(lines()) >= 10


#: The examples of these two pages depend on each other; test_notebooks.py runs them in sequence.
PYTHON = [(page, text) for page, text in blocks("python") if page not in ("api.md", "keras-tuner.md")]


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=[f"{page}-{at}" for at, (page, _) in enumerate(PYTHON)])
def test_every_python_example_runs(page, text):
    import keras
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    names = {"keras": keras, "keras_tuner": keras_tuner, "hp": hp, "build_model": lambda hp: None}
    # In the examples, an ellipsis stands for the user's own layers.
    exec(text.replace(" ..., ", " keras.layers.Flatten(), "), names)
    if "def build_model" in text:
        assert names["build_model"](keras_tuner.HyperParameters()).output_shape == (None, 7)


def test_there_are_python_examples_to_run():
    assert len(PYTHON) >= 2
