"""What pages may open by a name that came from an address, a file or a box: nothing beyond the workspace."""

import os
from pathlib import Path

from workbench.core import ModelError, TextError
from workbench.workspace import cache_folder, workspace_folder


def is_foreign(name: str) -> bool:
    """Whether a name leads to a file or folder outside the workspace and the cache (names of known things do not)."""
    try:
        path = Path(name).expanduser()
        named = path.is_absolute() or ".." in path.parts or name.startswith(("~", ".")) or path.exists()
        found = path.resolve()
    except (OSError, RuntimeError, ValueError):  # too long, nobody's home, a null byte
        return True
    if not named:
        return False
    return not any(found.is_relative_to(place.resolve()) for place in (workspace_folder(), cache_folder()))


def check_model(name: str) -> None:
    """Let known models, those of the hub, of the workspace, and the one that the app was started with pass.

    Raises:
        ModelError: a path beyond them.
    """
    if name != os.environ.get("WORKBENCH_APP_MODEL") and is_foreign(name):
        raise ModelError("pages open no model outside the workspace", hint="start with: workbench app --model PATH")


def check_text(name: str) -> None:
    """Let known texts, those of the hub and files of the workspace pass.

    Raises:
        TextError: a path beyond them.
    """
    if is_foreign(name):
        raise TextError(
            "pages read no file outside the workspace", hint="put it into the workspace, or use the command line"
        )
