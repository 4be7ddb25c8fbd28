"""Imports every file of this room that is a task, so that each registers itself; the registry asks for this one."""

import importlib
import pkgutil
from pathlib import Path

for _module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if _module.name.startswith("task_"):
        importlib.import_module(f"{__package__}.{_module.name}")
