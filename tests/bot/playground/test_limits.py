"""Everything here is refused by Discord; discord.py 2.7.1 lets most of it through."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.playground import DiscordError, JumpingClock, Playground
from bot.playground.command_rules import check_commands
from bot.playground.errors import FormErrors
from bot.playground.message_rules import check_message
from bot.playground.modal_rules import check_modal
from bot.playground.validation import check_form
from tests.bot.playground.raw_bot import Json, RawBot

V2 = 1 << 15


def button(number: int = 0, **changes: Any) -> Json:
    return {"type": 2, "style": 1, "label": "b", "custom_id": f"b{number}", **changes}


def row(*children: Json) -> Json:
    return {"type": 1, "components": list(children)}


def rows(count: int) -> list[Json]:
    return [row(button(number)) for number in range(count)]


def select(**changes: Any) -> Json:
    return {"type": 3, "custom_id": "s", "options": [{"label": "a", "value": "a"}], **changes}


def options(count: int) -> list[Json]:
    return [{"label": str(n), "value": str(n)} for n in range(count)]


def gallery(count: int, **changes: Any) -> Json:
    return {"type": 12, "items": [{"media": {"url": "https://x.example/a.png"}, **changes}] * count}


def text(length: int) -> Json:
    return {"type": 10, "content": "x" * length}


def embed(**fields: Any) -> Json:
    return {"embeds": [fields]}


REFUSED_MESSAGES = [
    ({"content": "x" * 2001}, "content"),
    ({"content": 1}, "content"),
    (embed(title="x" * 257), "embeds.0.title"),
    (embed(description="x" * 4097), "embeds.0.description"),
    (embed(fields=[{"name": "n", "value": "x" * 1025}]), "embeds.0.fields.0.value"),
    (embed(fields=[{"name": "n", "value": "v"}] * 26), "embeds.0.fields"),
    (embed(image={"url": "file:///etc/passwd"}), "embeds.0.image.url"),
    (embed(image={"url": "http://[x"}), "embeds.0.image.url"),
    (embed(title="x", timestamp="soon"), "embeds.0.timestamp"),
    (embed(title="x", timestamp="2026-W01-1"), "embeds.0.timestamp"),
    ({"embeds": [{"description": "x" * 3001}] * 2}, "embeds.1"),
    ({"embeds": [{"title": "x"}] * 11}, "embeds"),
    ({"components": rows(6)}, "components"),
    ({"components": [row(*(button(n) for n in range(6)))]}, "components.0.components"),
    ({"components": [row()]}, "components.0.components"),
    ({"components": [row(button(custom_id="x" * 101))]}, "components.0.components.0.custom_id"),
    ({"components": [row(button(label="x" * 81))]}, "components.0.components.0.label"),
    ({"components": [row(button(label=None))]}, "components.0.components.0"),
    ({"components": [row(button(style=5))]}, "components.0.components.0.url"),
    ({"components": [row(button(url="https://x.example"))]}, "components.0.components.0.url"),
    (
        {"components": [row({"type": 2, "style": 5, "label": "l", "url": "https://x.example/" + "x" * 500})]},
        "components.0.components.0.url",
    ),
    ({"components": [row(button(1), button(1))]}, "components.0.components.1.custom_id"),
    ({"components": [row(button(), select())]}, "components.0.components"),
    ({"components": [row(select(options=options(26)))]}, "components.0.components.0.options"),
    ({"components": [row(select(options=options(1) * 2))]}, "components.0.components.0.options.1.value"),
    ({"components": [row(select(placeholder="x" * 151))]}, "components.0.components.0.placeholder"),
    ({"components": [row(select(max_values=2))]}, "components.0.components.0.max_values"),
    ({"components": [row({"type": 4, "custom_id": "t", "style": 1})]}, "components.0.components"),
    ({"components": [text(1)]}, "components.0.type"),
    ({"flags": V2, "content": "x", "components": [text(1)]}, "content"),
    ({"flags": V2, "embeds": [{"title": "x"}]}, "embeds"),
    ({"flags": V2, "components": [text(2001), text(2000)]}, "components"),
    ({"flags": V2, "components": [text(1)] * 41}, "components"),
    ({"flags": V2, "components": [{"type": 17, "components": [text(1)] * 40}]}, "components"),
    (
        {"flags": V2, "components": [{"type": 13, "file": {"url": "https://x.example/%zz"}}]},
        "components.0.file.url",
    ),
    ({"flags": V2, "components": [gallery(11)]}, "components.0.items"),
    ({"flags": V2, "components": [gallery(0)]}, "components.0.items"),
    ({"flags": V2, "components": [gallery(1, description="x" * 1025)]}, "components.0.items.0.description"),
    ({"flags": V2, "components": [{"type": 9, "components": [text(1)]}]}, "components.0.accessory"),
    (
        {"flags": V2, "components": [{"type": 17, "components": [{"type": 17, "components": []}]}]},
        "components.0.components.0.type",
    ),
    ({"content": "x", "nonce": "x" * 26}, "nonce"),
    ({"content": "x", "allowed_mentions": {"parse": ["all"]}}, "allowed_mentions.parse.0"),
    ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, "allowed_mentions"),
    ({"content": "x", "allowed_mentions": {"users": ["1"] * 101}}, "allowed_mentions.users"),
    ({"content": "x", "attachments": [{"id": 0, "description": "x" * 1025}]}, "attachments.0.description"),
    ({"content": "x", "attachments": [{"filename": "a.png"}]}, "attachments.0.id"),
    ([], ""),
]

ACCEPTED_MESSAGES = [
    embed(title="x", timestamp="2026-11-22T18:30:00.000Z"),
    {
        "content": "x" * 2000,
        "embeds": [{"description": "x" * 3000}] * 2,
        "components": [row(*(button(n) for n in range(5)))],
    },
    {"components": [row(*(button(5 * r + n) for n in range(5))) for r in range(5)]},
    {"components": [row(select(options=options(25), max_values=25))]},
    {"flags": V2, "components": [text(2000), text(2000), gallery(10)]},
    {"flags": V2, "components": [{"type": 9, "components": [text(1)], "accessory": button()}, {"type": 14}]},
    {"content": None, "embeds": None, "components": None, "attachments": None, "allowed_mentions": None},
]


def errors_of(call: Any, *arguments: Any) -> Json:
    with pytest.raises(DiscordError) as caught:
        call(*arguments)
    assert (caught.value.status, caught.value.code) == (400, 50035)
    assert caught.value.errors is not None
    return caught.value.errors


def at(errors: Json, path: str) -> Any:
    for step in filter(None, path.split(".")):
        assert step in errors, (path, errors)
        errors = errors[step]
    return errors["_errors"][0]["code"]


@pytest.mark.parametrize(("payload", "path"), REFUSED_MESSAGES)
def test_messages_refused(payload: Any, path: str) -> None:
    assert at(errors_of(check_message, payload), path)


@pytest.mark.parametrize("payload", ACCEPTED_MESSAGES)
def test_messages_accepted(payload: Json) -> None:
    assert check_message(payload) is payload


def label(**component: Any) -> Json:
    return {"type": 18, "label": "l", "component": {"type": 4, "style": 1, "custom_id": "c", **component}}


def modal(*components: Json, **changes: Any) -> Json:
    return {"custom_id": "m", "title": "t", "components": list(components), **changes}


REFUSED_MODALS = [
    (modal(label(), title="x" * 46), "title"),
    (modal(label(), custom_id="x" * 101), "custom_id"),
    (modal(), "components"),
    (modal(*(label(custom_id=str(n)) for n in range(6))), "components"),
    (modal(label(), label()), "components.1.component.custom_id"),
    (modal({**label(), "label": "x" * 46}), "components.0.label"),
    (modal({**label(), "description": "x" * 101}), "components.0.description"),
    (modal(label(max_length=4001)), "components.0.component.max_length"),
    (modal(label(min_length=3, max_length=2)), "components.0.component.min_length"),
    (modal(label(value="x" * 4001)), "components.0.component.value"),
    (modal(label(type=3, options=options(26))), "components.0.component.options"),
    (modal(label(type=19, max_values=11)), "components.0.component.max_values"),
    (modal(label(type=21, options=options(1))), "components.0.component.options"),
    (modal(label(type=21, options=options(11))), "components.0.component.options"),
    (modal(label(type=22, options=options(11))), "components.0.component.options"),
    (modal(label(type=2)), "components.0.component.type"),
    (modal(row(button())), "components.0.components"),
    (modal(row({"type": 4, "style": 1, "custom_id": "c"})), "components.0.components.0.label"),
    (modal(text(2001), text(2000)), "components"),
]


@pytest.mark.parametrize(("payload", "path"), REFUSED_MODALS)
def test_modals_refused(payload: Json, path: str) -> None:
    assert at(errors_of(check_modal, payload, ()), path)


def command(**changes: Any) -> Json:
    return {"name": "draw", "description": "d", **changes}


def option(**changes: Any) -> Json:
    return {"type": 3, "name": "prompt", "description": "d", **changes}


REFUSED_COMMANDS = [
    ([command(name="Draw")], "0.name"),
    ([command(name="x" * 33)], "0.name"),
    ([command(name="two words")], "0.name"),
    ([command(description="x" * 101)], "0.description"),
    ([command(description="")], "0.description"),
    ([command(type=2)], "0.description"),
    ([command(), command()], "1"),
    ([command(default_member_permissions="manage")], "0.default_member_permissions"),
    ([command(options=[option(name=str(n)) for n in range(26)])], "0.options"),
    ([command(options=[option(), option()])], "0.options.1.name"),
    ([command(options=[option(), option(name="b", required=True)])], "0.options.1"),
    (
        [command(options=[option(choices=[{"name": "n", "value": str(n)} for n in range(26)])])],
        "0.options.0.choices",
    ),
    ([command(options=[option(choices=[{"name": "n", "value": "x" * 101}])])], "0.options.0.choices.0.value"),
    ([command(options=[option(choices=[{"name": "x" * 101, "value": "v"}])])], "0.options.0.choices.0.name"),
    (
        [command(options=[option(type=4, choices=[{"name": "n", "value": "v"}])])],
        "0.options.0.choices.0.value",
    ),
    (
        [command(options=[option(autocomplete=True, choices=[{"name": "n", "value": "v"}])])],
        "0.options.0.autocomplete",
    ),
    ([command(options=[option(type=11, autocomplete=True)])], "0.options.0"),
    ([command(options=[option(max_length=6001)])], "0.options.0.max_length"),
    ([command(options=[{"type": 1, "name": "a", "description": "d"}, option()])], "0.options"),
    ([command(name=f"c{n}") for n in range(101)], ""),
    ([{"type": 3, "name": f"Menu {n}"} for n in range(16)], ""),
    (
        [
            command(
                options=[
                    option(
                        name=str(n),
                        description="x" * 100,
                        choices=[{"name": "n" * 100, "value": "v" * 100}] * 2,
                    )
                    for n in range(25)
                ]
            )
        ],
        "0",
    ),
]


@pytest.mark.parametrize(("payload", "path"), REFUSED_COMMANDS)
def test_commands_refused(payload: Any, path: str) -> None:
    assert at(errors_of(check_commands, payload), path)


def test_commands_accepted() -> None:
    nested = {
        "type": 2,
        "name": "privacy",
        "description": "d",
        "options": [{"type": 1, "name": "stealth", "description": "d", "options": [option()]}],
    }
    check_commands(
        [
            command(),
            command(name="settings", options=[nested]),
            {"type": 3, "name": "Describe Image"},
            command(type=2, name="Me", description=""),
        ]
    )


@pytest.mark.parametrize("route", ["channel", "callback", "follow-up", "edit", "channel edit"])
async def test_every_route_refuses(
    route: str, bot: RawBot, playground: Playground, general: str, clock: JumpingClock
) -> None:
    wrong = {"content": "x" * 2001, "components": [row(button(label="x" * 81))]}
    task = asyncio.create_task(playground.user("Mia").slash("draw", prompt="x"))
    interaction = await bot.interaction()
    if route == "callback":
        reply = await bot.respond(interaction, 4, wrong)
        assert reply.error("data", "content") == "BASE_TYPE_MAX_LENGTH"
        assert reply.error("data", "components", 0, "components", 0, "label") == "BASE_TYPE_MAX_LENGTH"
        clock.advance(4)
    else:
        await bot.respond(interaction, 5)
        posted = (await bot.call("POST", f"/channels/{general}/messages", {"content": "x"})).body
        method, path = {
            "channel": ("POST", f"/channels/{general}/messages"),
            "follow-up": ("POST", bot.webhook(interaction)),
            "edit": ("PATCH", bot.webhook(interaction, "/messages/@original")),
            "channel edit": ("PATCH", f"/channels/{general}/messages/{posted['id']}"),
        }[route]
        assert (await bot.call(method, path, wrong)).error("content") == "BASE_TYPE_MAX_LENGTH"
    await task


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "components", "options", "name", "custom_id", "embeds", "fields", "media", "url"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.sampled_from(["components", "embeds", "allowed_mentions", "attachments", "content"]))
def test_nonsense_is_refused_not_crashed_on(value: Any, field: str) -> None:
    for flags in (0, V2):
        payload = {field: deepcopy(value), "flags": flags}
        with suppress(DiscordError):
            check_message(payload)


@given(json_values)
def test_nonsense_commands_and_modals(value: Any) -> None:
    for call in (
        lambda: check_commands([value]),
        lambda: check_commands(value),
        lambda: check_modal(value, ()),
    ):
        with suppress(DiscordError):
            call()


def test_all_errors_are_reported_at_once() -> None:
    errors = FormErrors()
    check_form("embed", {"title": "x" * 300, "color": -1, "fields": [{"name": ""}]}, (), errors)
    with pytest.raises(DiscordError) as caught:
        errors.raise_if_any()
    assert caught.value.errors is not None
    assert caught.value.errors.keys() == {"title", "color", "fields"}
    assert caught.value.errors["fields"]["0"].keys() == {"name", "value"}
