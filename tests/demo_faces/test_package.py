"""The faces are the demo's, not the product's: who may import them, and under which names they are public."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import demo_faces
import tuning


def test_the_public_names_are_those_of_the_package() -> None:
    assert inspect.unwrap(tuning.write_demo_faces) is demo_faces.write_demo_faces
    assert all(hasattr(demo_faces, name) for name in demo_faces.__all__)


def test_only_the_demo_command_imports_them() -> None:
    package = Path(tuning.__file__).parent
    importers = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "demo_faces" for name in names):
                importers.add(path.relative_to(package).as_posix())
    assert importers == {"demo.py"}


def test_the_name_in_tuning_loads_on_first_use() -> None:
    code = (
        "import sys, tuning\n"
        "assert 'demo_faces' not in sys.modules\n"
        "tuning.write_demo_faces\n"
        "assert 'demo_faces' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(tuning.__file__).parent.parent)
