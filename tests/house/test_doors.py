"""Imports run one way, there are no cycles, and third-party packages stay in the rooms that own them."""

import ast
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE, MIDDLE = {"core"}, {"core", "workspace", "models", "data", "dictionaries", "sparse_kernels"}
LOWER = MIDDLE | {"store", "training"}
DOORS = {
    "sparse_kernels": set(),
    "core": set(),
    "workspace": CORE,
    "models": CORE | {"workspace", "sparse_kernels"},
    "data": CORE | {"workspace"},
    "dictionaries": CORE | {"sparse_kernels"},
    "exchange": CORE | {"dictionaries", "workspace"},
    "store": MIDDLE - {"dictionaries"},
    "training": MIDDLE | {"store"},
    "circuits": LOWER,
    "features": LOWER,
    "subnetworks": LOWER,
    "sparsity": LOWER,
    "evaluation": LOWER | {"circuits", "features", "subnetworks", "sparsity"},
    "figures": CORE,
    "report": CORE | {"figures"},
    "workbench_probes": LOWER | {"evaluation"},
    "recipes": LOWER
    | {"exchange", "circuits", "features", "subnetworks", "sparsity", "evaluation", "figures", "report"}
    | {"workbench_probes"},
}
DOORS["hall"] = set(DOORS)
DOORS["workbench_app"] = set(DOORS)
OWNERS = {
    "transformer_lens": {"models"},
    "transformers": {"models"},
    "gguf": {"models"},
    "streamlit": {"workbench_app"},
    "plotly": {"figures", "workbench_app"},
    "sklearn": {"workbench_probes", "evaluation", "dictionaries", "data"},
    "typer": {"workbench_app"},
    "numba": {"sparse_kernels"},
    "triton": {"sparse_kernels"},
    "datasets": {"data"},
    "jinja2": {"report", "figures"},
}
ROOTS = {"workbench": ROOT / "workbench", **{p: ROOT / d / p for d, p in
         (("app", "workbench_app"), ("probes", "workbench_probes"), ("kernels", "sparse_kernels"))}}  # fmt: skip


def sources() -> list[Path]:
    return sorted(p for root in ROOTS.values() for p in [*root.rglob("*.py"), *root.rglob("*.pyi")])


def module_of(path: Path) -> list[str]:
    for name, root in ROOTS.items():
        if path.is_relative_to(root):
            parts = [name, *path.relative_to(root).with_suffix("").parts]
            return parts[:-1] if parts[-1] == "__init__" else parts
    raise AssertionError(path)


def room_of(module: list[str]) -> str:
    if module[0] != "workbench":
        return module[0]
    return module[1] if len(module) > 1 else "hall"


def imported(path: Path) -> list[tuple[list[str], int]]:
    """Every imported module of a file, relative ones resolved, function-level ones included."""
    package = module_of(path) if path.stem == "__init__" else module_of(path)[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name.split("."), node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found.append((base + (node.module.split(".") if node.module else []), node.lineno))
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    room = room_of(module_of(path))
    assert room in DOORS, f"{room} is no room of the house"
    for module, line in imported(path):
        if module[0] in ROOTS:
            other = room_of(module)
            assert other == room or other in DOORS[room], f"{path}:{line}: {room} may not import {other}"
            public = other == room or len(module) <= (2 if module[0] == "workbench" else 1)
            hall = room == "hall" and module[-1] == "registry"
            assert public or hall, f"{path}:{line}: go through the door of {other}, not {'.'.join(module)}"
        elif module[0] in OWNERS:
            assert room in OWNERS[module[0]], f"{path}:{line}: {module[0]} belongs to {OWNERS[module[0]]}"


def test_no_cycle_between_modules():
    files = {tuple(module_of(path)): path for path in sources() if path.suffix == ".py" and path.stem != "__init__"}
    graph = networkx.DiGraph()
    for module, path in files.items():
        for other, _ in imported(path):
            if tuple(other) in files and tuple(other) != module:
                graph.add_edge(module, tuple(other))
    cycles = [".".join(module) for component in networkx.strongly_connected_components(graph) if len(component) > 1
              for module in component]  # fmt: skip
    assert cycles == []


def test_no_package_shadows_the_hub_kernels():
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_the_top_level_is_what_it_says():
    allowed = {"pyproject.toml", "workbench", "probes", "app", "kernels", "artifacts", "tests", "README.md", "LICENSE"}
    tracked = ROOT / ".git"
    if not tracked.exists():
        pytest.skip("not a checkout")
    import subprocess

    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    top = {name.split("/")[0] for name in names if name}
    assert {name for name in top if not name.startswith(".")} <= allowed
