"""Settings of one deployment, read from the environment and `.env`; the only reader of either."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import platformdirs
from pydantic import (
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

_PREFIX = "FOURFOLD_"


class Settings(BaseSettings):
    """Every setting has a default except the token; `.env.example` lists them all."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    discord_token: SecretStr | None = Field(default=None, validation_alias="DISCORD_TOKEN")
    """The bot's token from Discord's developer portal; only `fourfold run` needs it."""
    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("fourfold", appauthor=False)))
    """Where database, pictures, playground state, logs and training checkpoints live."""
    model: str = "fourfold-mini"
    """The embedded model, a hub id, a diffusers folder or a .safetensors checkpoint; several separated by commas."""
    upscaler: str = "upscaler"
    """What enlarges pictures: the embedded network, or one of another's in a .safetensors file."""
    clip: str = "clip"
    """What describes and compares pictures: the embedded model, or a hub id or folder of a CLIP model."""
    model_config_dir: Path | None = Field(default=None, validation_alias="FOURFOLD_MODEL_CONFIG")
    """A diffusers folder whose configuration serves a single .safetensors checkpoint offline."""
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16", "float64"] = "auto"
    exact: bool = False
    compile: bool = False
    row_budget: int | None = Field(default=None, ge=2)
    """A picture with guidance takes two."""
    memory_budget: ByteSize | None = Field(default=None, gt=0)
    """Most that the weights of all loaded models may take, such as 8GB; None: a share of the device's memory."""
    offload: Literal["auto", "always", "never"] = "auto"
    """Whether weights stay in the machine's memory and come to a graphics card block by block."""
    offline: bool = False
    """Never contact the model hub."""
    max_running_per_user: int = Field(default=3, ge=1)
    max_waiting_per_user: int = Field(default=10, ge=0)
    max_waiting: int = Field(default=200, ge=1)
    """Most unfinished jobs of all users together."""
    discord_api: str | None = None
    """Another Discord-compatible origin, such as http://127.0.0.1:8080; refused unless loopback."""
    discord_api_allow_remote: bool = False
    """Allow discord_api to name an origin that is not loopback. It receives the token."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @field_validator("home", "model_config_dir")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        """`~` is expanded by shells, but not in `.env`."""
        return path.expanduser() if path else path

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: str) -> str:
        return level.upper()

    @field_validator("device")
    @classmethod
    def _is_device(cls, device: str) -> str:
        """Whether there is such a device is for the engine to say."""
        device = device.lower()
        if re.fullmatch(r"[a-z]+(:\d+)?", device) is None:
            raise PydanticCustomError(
                "device", "it can be auto, cpu, cuda, mps or, for one of several cards, cuda:1"
            )
        return device

    @field_validator("memory_budget", mode="wrap")
    @classmethod
    def _is_size(cls, size: str, parse: ValidatorFunctionWrapHandler) -> ByteSize | None:
        try:
            return cast(ByteSize | None, parse(size))
        except ValidationError as error:
            raise PydanticCustomError("size", "it is a size above 0, such as 8GB or 500MB") from error

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The model names, the default first."""
        return tuple(name.strip() for name in self.model.split(",") if name.strip())

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.home / "fourfold.db"

    @property
    def pictures_path(self) -> Path:
        """The image store's folder."""
        return self.home / "pictures"


def unknown_settings() -> Mapping[str, str]:
    """The names in the environment and `.env` that begin like settings and are none, each with the nearest that is one."""
    real = {
        name.removeprefix(_PREFIX): name
        for field, info in Settings.model_fields.items()
        for name in [str(info.validation_alias or _PREFIX + field.upper())]
    }
    found: dict[str, str] = {}
    for source in (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings)):
        for name in map(str.upper, source.env_vars):
            bare = name.removeprefix(_PREFIX)
            if bare == name or name in real.values():
                continue
            # The prefix would make all of them look alike.
            nearest = get_close_matches(bare, real, n=1, cutoff=0.5)
            found[name] = real[nearest[0]] if nearest else ""
    return dict(sorted(found.items()))


def unknown_setting_sentence(name: str, nearest: str) -> str:
    """What the host is told of one of them."""
    meant = f"did you mean {nearest}?" if nearest else ".env.example lists all there are."
    return f"{name} is no setting of Fourfold and changes nothing; {meant}"
