"""Command-line flags made from settings classes, so that a field is written down once."""

import dataclasses
import functools
import inspect
import itertools
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

from workbench.core import Config, ConfigError, nearest

from .options import Shared

_PLAIN = (int, float, str, bool, Path)


class Sweep:
    """Several kinds of a thing, each with settings of its own; every flag may be given more than once.

    The parameter becomes a list of (kind, settings): the product of all values, for every kind over the fields it has.

    Args:
        kinds: name -> settings class.
        key: the flag that names kinds.
        default: the kind if none is named.
    """

    def __init__(self, kinds: Mapping[str, type[Config]], key: str, default: str) -> None:
        self.kinds, self.key, self.default = kinds, key, default
        self.model_fields: dict[str, FieldInfo] = {}
        for kind in dict.fromkeys(kinds.values()):
            self.model_fields = {**kind.model_fields, **self.model_fields}

    def flags(self) -> dict[str, tuple[Any, Any]]:
        """Flags that may be repeated, the one for the kind first."""
        help_text = f"One of the registered names, or several. [default: {self.default}]"
        made: dict[str, tuple[Any, Any]] = {
            self.key: (list[str], typer.Option(None, f"--{self.key}", help=help_text, show_default=False))
        }
        for name, field in self.model_fields.items():
            if flag := _flag(name, field):
                made[name] = (_several(flag[0]), flag[1])
        return made

    def parse(self, table: dict[str, Any], source: str) -> list[tuple[str, Config]]:
        """Every combination of the values.

        Raises:
            ConfigError: an unknown kind, a setting that no chosen kind has, or a value out of range.
        """
        given = dict(table)
        chosen = _listed(given.pop(self.key, self.default))
        found, used = [], set()
        for name in chosen:
            if name not in self.kinds:
                raise ConfigError(f"unknown {self.key} {name!r}", hint=nearest(name, self.kinds))
            kind = self.kinds[name]
            own = [key for key in given if key in kind.model_fields]
            used |= set(own)
            values = [_listed(given[key]) if _flag(key, kind.model_fields[key]) else [given[key]] for key in own]
            combinations = (dict(zip(own, combination, strict=True)) for combination in itertools.product(*values))
            found += [(name, kind.parse(combination, source)) for combination in combinations]
        for key in given.keys() - used:
            hint = nearest(key, {field for name in chosen for field in self.kinds[name].model_fields})
            raise ConfigError(f"{key!r} means nothing to {' and '.join(chosen)}", hint=hint)
        return found


def settings(**classes: type[Config] | Sweep) -> Callable[[Callable], Callable]:
    """Decorator: each named parameter of the command becomes one flag per plain field of its settings class.

    `--config FILE.toml` is added too: its keys are the fields, or one table per parameter where there are
    several. Flags win over the file; one flag serves every class that has a field of its name. Fields that are no
    plain values can be given in the file only. A `Sweep` gives a list of settings. A parameter that is annotated
    with a group of shared options (`Shared` or a class made from it) becomes one flag per field of the group.
    """
    flags: dict[str, tuple[Any, Any]] = {}
    for config_class in classes.values():
        if isinstance(config_class, Sweep):
            flags = {**config_class.flags(), **flags}
            continue
        for name, field in config_class.model_fields.items():
            if name not in flags and (flag := _flag(name, field)):
                flags[name] = flag

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)
        groups = {name: p.annotation for name, p in signature.parameters.items() if _is_group(p.annotation)}

        @functools.wraps(function)
        def command(**values: Any) -> Any:
            shared = {
                name: group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
                for name, group in groups.items()
            }
            tables = _tables(values.pop("config_file", None), classes)
            given = {name: value for name in flags if (value := values.pop(name)) not in (None, [])}
            for parameter, config_class in classes.items():
                names = [*config_class.model_fields, *([config_class.key] if isinstance(config_class, Sweep) else [])]
                tables[parameter] |= {name: given[name] for name in names if name in given}
            configs = {parameter: classes[parameter].parse(table, "settings") for parameter, table in tables.items()}
            return function(**values, **shared, **configs)

        kept = [p for name, p in signature.parameters.items() if name not in classes and name not in groups]
        made = [_parameter(f.name, f.type, f.default) for group in groups.values() for f in dataclasses.fields(group)]
        if classes:
            made.append(_parameter("config_file", Path | None, typer.Option(None, "--config", help=_FILE_HELP)))
        made += [_parameter(name, kind | None, option) for name, (kind, option) in flags.items()]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *made)]
        command.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def with_lists(config: Any, **lists: list | None) -> Any:
    """The settings with the lists that were given as flags of their own."""
    given = {name: tuple(values) for name, values in lists.items() if values}
    return type(config).parse({**config.model_dump(exclude_unset=True), **given})


_FILE_HELP = "TOML file with these settings; flags win over it."


def _several(kind: Any) -> Any:
    """A list of a flag's type; choices are left to the settings, and a switch stays one."""
    if typing.get_origin(kind) is typing.Literal:
        return list[str]
    return kind if kind is bool else list[kind]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _tables(file: Path | None, classes: Mapping[str, type[Config] | Sweep]) -> dict[str, dict[str, Any]]:
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


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Shared)


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
