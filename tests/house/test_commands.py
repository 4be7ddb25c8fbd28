"""Every command has help, starts fast enough to be pleasant, and answers bad input with one line."""

import subprocess
import sys

import pytest
import typer

from workbench_app.cli import app


def commands(command, path: tuple[str, ...] = ()):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(
    ("path", "command"), ALL, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_says_what_it_does(path, command):
    assert command.help, f"workbench {' '.join(path)} has no help"
    for parameter in command.params:
        assert parameter.param_type_name in ("option", "argument")
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert parameter.help, f"workbench {' '.join(path)} {parameter.opts[0]} has no help"


def run(*words: str) -> subprocess.CompletedProcess:
    code = "import sys; from workbench_app.cli import main; sys.argv[0] = 'workbench'; main()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)


def test_help_imports_nothing_heavy():
    """One process asks every command in turn: whichever is the first to import too much is named."""
    code = f"""
import sys
import typer
from workbench_app.cli import app
command = typer.main.get_command(app)
for path in {[path for path, _ in ALL]!r}:
    try:
        command([*path, "--help"])
    except SystemExit as stop:
        assert not stop.code, path
    heavy = {{"torch", "transformers", "streamlit", "sklearn", "pandas", "plotly"}} & set(sys.modules)
    assert not heavy, (path, heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage") == len(ALL)


def test_usage_errors_have_exit_code_2():
    assert run("capture", "--no-such-flag").returncode == 2
    assert run("nonsense").returncode == 2


def test_an_error_is_one_line_without_a_traceback(tmp_path):
    done = run("artifacts", "show", "graphs", "none", "--workspace", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
