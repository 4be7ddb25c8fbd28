"""Command-line flags made from settings classes, so that a field is written down once."""

import functools
import inspect
import tomllib
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

from workbench.core import Config, ConfigError, nearest

_PLAIN = (int, float, str, bool, Path)


def settings(**classes: type[Config]) -> Callable[[Callable], Callable]:
    """Decorator: each named parameter of the command becomes one flag per plain field of its settings class.

    `--config FILE.toml` is added too: its keys are the fields, or one table per parameter where there are
    several. Flags win over the file; one flag serves every class that has a field of its name. Fields that are no
    plain values can be given in the file only.
    """
    flags: dict[str, tuple[Any, Any]] = {}
    for config_class in classes.values():
        for name, field in config_class.model_fields.items():
            if name not in flags and (flag := _flag(name, field)):
                flags[name] = flag

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def command(**values: Any) -> Any:
            tables = _tables(values.pop("config_file"), classes)
            given = {name: value for name in flags if (value := values.pop(name)) is not None}
            for parameter, config_class in classes.items():
                tables[parameter] |= {name: given[name] for name in config_class.model_fields if name in given}
            configs = {parameter: classes[parameter].parse(table, "settings") for parameter, table in tables.items()}
            return function(**values, **configs)

        kept = [p for name, p in signature.parameters.items() if name not in classes]
        made = [_parameter("config_file", Path | None, typer.Option(None, "--config", help=_FILE_HELP))]
        made += [_parameter(name, kind | None, option) for name, (kind, option) in flags.items()]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *made)]
        command.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


_FILE_HELP = "TOML file with these settings; flags win over it."


def _tables(file: Path | None, classes: dict[str, type[Config]]) -> dict[str, dict[str, Any]]:
    if file is None:
        return {parameter: {} for parameter in classes}
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the settings file {file}", found=str(error)) from None
    if len(classes) == 1:
        return {next(iter(classes)): data}
    for key in data:
        if key not in classes:
            raise ConfigError(f"{file}: unknown table [{key}]", hint=nearest(key, classes, "tables"))
    return {parameter: dict(data.get(parameter, {})) for parameter in classes}


def _parameter(name: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)


def _flag(name: str, field: FieldInfo) -> tuple[Any, Any] | None:
    """The plain type of a field and its option, None where the field is no plain value."""
    kind = field.annotation
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        kind = next((part for part in typing.get_args(kind) if part is not type(None)), None)
    if typing.get_origin(kind) is not typing.Literal and kind not in _PLAIN:
        return None
    default = "" if field.default is None else f" [default: {field.default}]"
    flag = f"--{name.replace('_', '-')}"
    declaration = f"{flag}/--no-{name.replace('_', '-')}" if kind is bool else flag
    return kind, typer.Option(None, declaration, help=f"{field.description or ''}{default}", show_default=False)
