"""Where settings come from: the environment and the TOML file, and what is said when they are wrong."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "BOOSTWATCH_"
ENVIRONMENT = "in the environment"
RESERVED = frozenset({"CONFIG", "TEST_KAFKA", "REQUIRE_ALL", "CACHE"})
"""Variables that are no settings: the settings file itself, and what tests and developers' tools read."""

FILE_BYTES_MAX = 1 << 20
"""A settings file is some lines of text; anything larger is the wrong file."""

VALUE_CHARACTERS_MAX = 80


def read_environment(settings: type[BaseSettings], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are set in the environment, by field name; an empty variable is not set."""
    found: dict[str, str] = {}
    unknown: list[str] = []
    for variable, value in environ.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or name in RESERVED:
            continue
        if name.lower() not in settings.model_fields or name != name.upper():
            unknown.append(variable)
        elif value:
            found[name.lower()] = value
    if unknown:
        known = [PREFIX + name.upper() for name in settings.model_fields]
        raise ConfigurationError(_unknown("environment variable", unknown, known))
    return found


def read_file(settings: type[BaseSettings], path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file, by field name."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise ConfigurationError(f"the settings file {path} is larger than 1 MiB; is it the right one?")
        values = tomllib.loads(text.decode())
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the settings file {path} is no TOML: {error}") from None
    unknown = [name for name in values if name not in settings.model_fields]
    if unknown:
        raise ConfigurationError(_unknown(f"key in {path}", unknown, settings.model_fields))
    return values


def explain(
    settings: type[BaseSettings], error: ValidationError, values: Mapping[str, Any], where: Mapping[str, str]
) -> ConfigurationError:
    """Say for every wrong setting its name, its value, where it was set and what is allowed."""
    told: list[str] = []
    for problem in error.errors(include_url=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        if name not in settings.model_fields:
            told.append(f"{name}: {message}" if name else message)
            continue
        field = settings.model_fields[name]
        secret = SecretStr.__name__ in str(field.annotation)
        value = "**********" if secret else _short(values.get(name))
        place = where.get(name, "by default")
        called = PREFIX + name.upper() if place == ENVIRONMENT else name
        told.append(f"{called} = {value} ({place}) is not allowed; allowed: {field.description}")
    return ConfigurationError("; ".join(told))


def _unknown(what: str, names: Iterable[str], known: Iterable[str]) -> str:
    told = []
    for name in sorted(names):
        near = difflib.get_close_matches(
            name.upper() if name.startswith(PREFIX) else name, list(known), n=1, cutoff=0.6
        )
        advice = f"did you mean {near[0]}?" if near else "`boostwatch settings` lists what there is"
        told.append(f"unknown {what}: {_short(name, quote=False)}; {advice}")
    return "; ".join(told)


def _short(value: object, *, quote: bool = True) -> str:
    text = repr(value) if quote else str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"
