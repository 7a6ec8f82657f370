from __future__ import annotations

import pytest

from bot.cogs import COMMANDS
from bot.cogs.about import help_text
from bot.cogs.jobs import EXAMPLE_ID, _parsed
from bot.errors import UserError
from bot.prompting import PARAMETERS


def test_help_names_every_command_and_parameter_and_fits_a_message():
    text = help_text(COMMANDS, "en")
    assert len(text) <= 2000
    for command in COMMANDS:
        assert f"`/{command.name}`" in text
    for row in PARAMETERS:
        assert f"`--{row.name}" in text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_descriptions_fit_discord(command):
    assert 1 <= len(command.description) <= 100
    for parameter in command.parameters:
        assert 1 <= len(str(parameter.description)) <= 100
        assert parameter.description != "…"


@pytest.mark.parametrize(
    "typed", [EXAMPLE_ID, EXAMPLE_ID.upper(), EXAMPLE_ID.replace("-", ""), f" `{EXAMPLE_ID}` "]
)
def test_a_job_id_may_be_pasted_in_many_ways(typed):
    assert str(_parsed(typed)) == EXAMPLE_ID


@pytest.mark.parametrize("typed", ["", "4", "x" * 6000, EXAMPLE_ID[:-1]])
def test_anything_else_is_answered(typed):
    with pytest.raises(UserError) as refusal:
        _parsed(typed)
    assert refusal.value.code == "job_id_invalid"
