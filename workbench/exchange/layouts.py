"""Imports every module of this room, so that each format registers itself; the registry asks for this one."""

import importlib
import pkgutil
from pathlib import Path

for _module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if _module.name != "layouts":
        importlib.import_module(f"{__package__}.{_module.name}")
