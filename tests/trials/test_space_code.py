"""Which changes of a person's files are changes of the search space."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from tuning.trials import space_code
from tuning.trials.spaces import space_code as code_of
from tuning.trials.spaces import space_digest

SPACE = '''
import math
import helpers as own
from package import parts
from package.sizes import FILTERS


def unused(hp):
    return 1


def net(hp, image):
    """Says nothing."""
    return own.double(hp) + parts.block(FILTERS)


def build(hp, input_shape, num_classes):
    # a comment
    return net(hp, math.pi)
'''
FILES = {
    "space.py": SPACE,
    "helpers.py": "def double(x):\n    return half(x) * 4\n\ndef half(x):\n    return x / 2\n\n"
    "def third(x):\n    return x / 3\n",
    "package/__init__.py": "",
    "package/parts.py": "from . import sizes\n\ndef block(n):\n    return sizes.scaled(n)\n\n"
    "def other():\n    return 2\n",
    "package/sizes.py": "FILTERS = 8\nOTHERS = 9\n\ndef scaled(n):\n    return 2 * n\n",
}


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """`digest({"space.py": text})`: with these files in the place of the usual ones."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def find(changed=(), space="space:build"):
        for name, text in {**FILES, **dict(changed)}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
        return space_digest(space)

    return find


def test_the_code_is_what_the_builder_reaches(digest):
    digest()
    reached, files = code_of("space:build")
    assert {module: len(statements) for module, statements in reached.items()} == {
        "helpers": 2,
        "package.parts": 2,
        "package.sizes": 2,
        "space": 6,
    }
    assert list(files) == list(reached)
    assert "comment" not in str(reached) and "Says nothing" not in str(reached) and "unused" not in str(reached)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("space.py", "# a comment\n", "# another\n\n\n"),
        ("space.py", "Says nothing", "Says something"),
        ("space.py", "(hp, math.pi)", "( hp, math.pi )"),
        ("space.py", "    return 1", "    return 2"),
        ("space.py", "def unused", "def more(hp):\n    return 3\n\ndef unused"),
        ("space.py", "\n", "\r\n"),
        ("helpers.py", "x / 3", "x / 9"),
        ("package/parts.py", "return 2", "return 3"),
        ("package/sizes.py", "OTHERS = 9", "OTHERS = 10"),
        ("space.py", "def build", "unused.starting_points = [{}]\n\n\ndef build"),
    ],
)
def test_what_the_builder_does_not_reach_changes_nothing(digest, file, old, new):
    assert old in FILES[file]
    assert digest() == digest({file: FILES[file].replace(old, new)})


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("space.py", "math.pi", "math.e"),
        ("space.py", "FILTERS)", "FILTERS + 1)"),
        ("space.py", "return net(hp, math.pi)", "return net(hp, math.pi)\n\n\nbuild.starting_points = [{}]"),
        ("space.py", "import math", "import math\nmath.pi = 3"),
        ("helpers.py", "x / 2", "x / 2.5"),
        ("helpers.py", "def third", "print('at import')\n\ndef third"),
        ("package/__init__.py", "", "import keras\nkeras.config.set_epsilon(1e-3)\n"),
        ("package/parts.py", "scaled(n)", "scaled(n + 1)"),
        ("package/sizes.py", "FILTERS = 8", "FILTERS = 16"),
        ("package/sizes.py", "2 * n", "3 * n"),
    ],
)
def test_what_it_reaches_changes_the_digest(digest, file, old, new):
    changed = FILES[file].replace(old, new) if old else new
    assert digest() != digest({file: changed})


@pytest.mark.parametrize(
    "block",
    [
        "if __name__ == '__main__':\n    {}",
        'if "__main__" == __name__:\n    {}',
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}",
        "import typing\nif typing.TYPE_CHECKING:\n    {}",
    ],
)
def test_what_runs_only_in_a_script_or_a_type_checker_is_no_code_of_the_space(digest, block):
    """People try a builder at the end of its file."""
    before = digest()
    for line in ("print(unused(1))", "FILTERS = 16", "from tuning import Workspace"):
        assert digest({"space.py": f"{SPACE}\n{block.format(line)}\n"}) == before
    changed = f"{SPACE}\n{block.format('pass')}\nelse:\n    FILTERS = 16\n"
    assert digest({"space.py": changed}) != before


@pytest.mark.parametrize("dynamic", ["globals()['unused']", "eval('unused')", "getattr(own, 'third')"])
def test_where_names_are_dynamic_the_whole_module_counts(digest, dynamic):
    text = SPACE.replace("net(hp, math.pi)", f"{dynamic}(hp)")
    first = digest({"space.py": text})
    module, old, new = ("helpers.py", "x / 3", "x / 9") if "own" in dynamic else ("space.py", "return 1", "return 2")
    before = {**FILES, "space.py": text}[module]
    assert digest({"space.py": text, module: before.replace(old, new)}) != first


def test_an_attribute_that_is_made_at_run_time_is_the_whole_module(digest):
    text = SPACE + "\nfor name in ('small', 'large'):\n    vars()[name] = build\n"
    first = digest({"space.py": text}, "space:small")
    assert digest({"space.py": text.replace("return 1", "return 2")}, "space:small") != first


def test_an_installed_library_on_the_path_is_not_a_persons_code(digest, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("def f(): return 1\n")
    info = tmp_path / "lib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lib\nVersion: 1.0\n")
    (info / "RECORD").write_text("lib/__init__.py,,\nlib-1.0.dist-info/METADATA,,\n")
    text = SPACE.replace("import math", "import math, lib").replace("math.pi", "lib.f()")
    first = digest({"space.py": text})
    (tmp_path / "lib" / "__init__.py").write_text("def f(): return 2\n")
    assert digest({"space.py": text}) == first
    assert space_code.own_file("lib") is None and space_code.own_file("space") is not None


def test_a_folder_that_is_no_package_hides_no_module_of_its_name(digest, tmp_path, monkeypatch):
    first = digest()
    (tmp_path / "elsewhere" / "helpers").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert digest() == first


@pytest.mark.parametrize("folder", ["modules/lib/python3/site-packages", "installed"])
def test_libraries_that_a_cluster_puts_on_the_path_are_not_read(digest, tmp_path, monkeypatch, folder):
    """As environment modules do it, and `pip install --target`: on PYTHONPATH, in a folder of no Python that runs."""
    libraries, names = tmp_path / folder, ("keras", "tensorflow")
    info = libraries / "all-1.0.dist-info"
    info.mkdir(parents=True)
    for name in names:
        (libraries / name).symlink_to(Path(importlib.util.find_spec(name).origin).parent)
    if folder == "installed":
        # As many files as the two have.
        (info / "RECORD").write_text("".join(f"{name}/{n}.py,,\n" for name in names for n in range(10_000)))
    monkeypatch.syspath_prepend(str(libraries))
    text = "import keras, tensorflow, os\nfrom keras import layers\n" + SPACE.replace("math.pi", "keras, tensorflow")
    began = time.process_time()
    digest({"space.py": text})
    assert time.process_time() - began < 1
    assert set(code_of("space:build")[0]) == {"space", "helpers", "package.parts", "package.sizes"}
