"""Which model a prompt asks for: `--v` names one by its short name, `--draft` takes its few-step variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.domain import Parameters
from bot.errors import UserError
from engine import ModelInfo, Operation

VERSIONS: Mapping[str, str] = {"sd": "fourfold-mini", "unclip": "fourfold-unclip"}
"""What is typed after `--v` → the model that it stands for."""


def chosen_model(
    parameters: Parameters, models: Sequence[ModelInfo], *, default: ModelInfo | None = None
) -> tuple[ModelInfo, Parameters]:
    """The model that draws, and the parameters with what became of `--draft` and `--best`.

    Args:
        models: those that are offered, the default first.
        default: the one for a prompt that names none, where it is not the first.

    Raises:
        UserError: `version_not_offered`.
    """
    by_name = {model.name: model for model in models}
    name = VERSIONS[parameters.version] if parameters.version else (default or models[0]).name
    if name not in by_name:
        offered = [f"`--v {version}`" for version, its in VERSIONS.items() if its in by_name]
        if not offered:
            raise UserError("version_not_offered_alone", got=parameters.version, default=models[0].title)
        raise UserError("version_not_offered", got=parameters.version, allowed=", ".join(offered))
    if parameters.best:
        compares = any(Operation.EMBED in model.operations for model in models)
        parameters = replace(parameters, best=compares)
    if not parameters.draft or by_name[name].few_steps is not None:
        return by_name[name], parameters
    fast = by_name.get(by_name[name].fast)
    return fast or by_name[name], replace(parameters, draft=fast is not None)
