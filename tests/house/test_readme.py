"""The README is true: its commands and its Python run, its tables list what is registered."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from forked import forks

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import names

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT = README.read_text()
# Installation and the full demo run in CI and in the tests marked `real`; the app has its own browser test.
ELSEWHERE = ("pip install", "workbench app")
OWN_PROCESS = ("workbench doctor", "workbench train")  # nothing imported beforehand; the others run in forks


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if not line.startswith(ELSEWHERE)]


def test_every_command_runs(tmp_path):
    """In order, in one workspace: the tour that a newcomer takes."""
    assert len(commands()) >= 9
    with forks() as fork:
        for command in commands():
            words = shlex.split(command)
            assert words[0] == "workbench"
            run = alone if command.startswith(OWN_PROCESS) else fork
            done = run(words[1:], tmp_path)
            assert done.returncode == 0, f"{command}\n{done.stderr}"


def alone(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    code = "import sys; from workbench_app.cli import main; sys.argv[0] = 'workbench'; main()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=folder)


def test_the_python_tour_runs(capsys):
    for block in blocks("python"):
        exec(compile(block, "README", "exec"), {})
    assert "cap-north-korea" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["dictionary", "format", "task", "text", "model"])
def test_the_table_lists_everything_registered(kind):
    (row,) = re.findall(rf"^\| {kind} \| (.*) \|$", TEXT, re.MULTILINE)
    assert tuple(re.findall(r"`([^`]+)`", row)) == names(kind)


def test_every_room_is_in_the_table():
    root = README.parent
    rooms = [path.name for path in (root / "workbench").iterdir() if (path / "__init__.py").exists()]
    for room in rooms:
        assert room in TEXT, f"{room} is not in the README"
