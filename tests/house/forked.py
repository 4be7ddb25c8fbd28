"""Processes with the heavy third-party libraries already imported: what a new process does, without the wait.

A fork has modules of its own from there on; nothing of the workbench is imported before it, so that a command that
relies on a module which it does not import still fails.
"""

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

LIBRARIES = (
    "torch", "transformers.models.gpt2.modeling_gpt2", "transformer_lens.model_bridge", "safetensors.torch", "numba",
    "networkx", "pandas", "sklearn.linear_model", "mwparserfromhell", "typer", "pydantic", "rich.table",
)  # fmt: skip


@contextlib.contextmanager
def forks() -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """A function that runs one `workbench` command in a fork, in a folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, __file__, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        said = [Path(folder, name) for name in ("stdout", "stderr")]

        def run(words: list[str], cwd: Path) -> subprocess.CompletedProcess:
            print(json.dumps({"words": words, "cwd": str(cwd)}), file=server.stdin, flush=True)
            code = int(server.stdout.readline())
            return subprocess.CompletedProcess(words, code, *(path.read_text() for path in said))

        yield run
        server.stdin.close()


def _serve(folder: str) -> None:
    for library in LIBRARIES:
        __import__(library)
    gc.freeze()  # what a fork never collects it need not copy
    while asked := sys.stdin.readline():
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
            os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
        command = json.loads(asked)
        os.chdir(command["cwd"])
        sys.argv = ["workbench", *command["words"]]
        from workbench_app.cli import main

        return main()
    gc.unfreeze()
    return None


if __name__ == "__main__":
    _serve(sys.argv[1])
