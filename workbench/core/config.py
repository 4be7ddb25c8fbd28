"""The base of every settings class: frozen, strict, valid by default, readable from TOML."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigError, nearest

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A small frozen record of settings; unknown keys and contradictions are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls: type[C], values: dict[str, Any], source: str = "settings") -> C:
        """Build from plain values.

        Raises:
            ConfigError: a key is unknown or a value is out of range; the message names every one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {describe(error, cls)}") from None

    @classmethod
    def from_toml(cls: type[C], path: Path, **overrides: Any) -> C:
        """Read a TOML file; keyword overrides win over the file."""
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"no settings file {path}", hint="give the path of a TOML file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML", found=str(error)) from None
        return cls.parse({**values, **overrides}, source=str(path))


def describe(error: ValidationError, cls: type[BaseModel]) -> str:
    """One line for a pydantic error: each field with what was wrong, near names for unknown keys."""
    parts = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or "values"
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key {field!r}, {nearest(field, cls.model_fields)}")
        else:
            parts.append(f"{field}: {item['msg'].removeprefix('Value error, ')} (found {item['input']!r})")
    return "; ".join(parts)
