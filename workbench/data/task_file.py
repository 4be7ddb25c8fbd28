"""A task of the user's own: a small TOML or JSON file of prompts with right and wrong answers."""

import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config, ConfigError, PromptPair

SUFFIXES = (".toml", ".json")


class TaskPrompt(Config):
    """One prompt of a task file; write answers with their leading space."""

    prompt: str = Field(min_length=1, description="what the model reads")
    corrupted: str = Field(default="", description="the prompt without what decides the answer, as many tokens long")
    target: str = Field(default="", description="the right next token; default: the first of targets")
    foil: str = Field(default="", description="a wrong next token; default: the first of foils")
    targets: tuple[str, ...] = Field(default=(), description="every right answer, where there are several")
    foils: tuple[str, ...] = Field(default=(), description="every wrong answer, where there are several")
    note: str = Field(default="", description="anything to show beside the prompt")

    @model_validator(mode="after")
    def _answers(self) -> "TaskPrompt":
        for one, several in (("target", "targets"), ("foil", "foils")):
            if not getattr(self, one) and not getattr(self, several):
                raise ValueError(f"a prompt needs {one} or {several}")
        return self

    def pair(self) -> PromptPair:
        """The prompt as the rooms pass it on."""
        target, foil = self.target or self.targets[0], self.foil or self.foils[0]
        return PromptPair(self.prompt, target, foil, self.note, self.corrupted, self.targets, self.foils)


class TaskFile(Config):
    """The whole file."""

    name: str = Field(default="", description="what the task is called; default: the file's name")
    metric: Literal["logit difference", "probability difference"] = Field(
        default="logit difference", description="how right and wrong answers are held against each other"
    )
    prompts: tuple[TaskPrompt, ...] = Field(min_length=1, description="the prompts")

    def pairs(self) -> tuple[PromptPair, ...]:
        """Every prompt, in the file's order."""
        return tuple(prompt.pair() for prompt in self.prompts)


def is_task_file(name: str | Path) -> bool:
    """Whether a name means a file rather than a registered task."""
    return Path(name).suffix.lower() in SUFFIXES


def read_task_file(path: Path) -> TaskFile:
    """Read a task file.

    Raises:
        ConfigError: there is none, it cannot be read, or it is no task; every wrong key is named.
    """
    if path.suffix.lower() == ".toml":
        try:
            values = tomllib.loads(_text(path))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not valid TOML", found=str(error)) from None
    else:
        try:
            values = json.loads(_text(path))
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{path} is not valid JSON", found=str(error)) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is no task", found=f"its top level is a {type(values).__name__}", hint="see --help")
    return TaskFile.parse(values, source=str(path))


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no task file {path}", hint="give the path of a .toml or .json file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the task file {path}", found=str(error)) from None
