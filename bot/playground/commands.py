"""The bot's commands: replaced by PUT, shown to members, and a member's options resolved against their definition."""

from __future__ import annotations

from typing import Any

from bot.playground import errors
from bot.playground.command_rules import GROUP, SUBCOMMAND, check_commands
from bot.playground.errors import FormErrors, Path
from bot.playground.events import CommandsChanged, Events
from bot.playground.permissions import Permission
from bot.playground.rate_limits import RateLimits
from bot.playground.rendering import Rendering
from bot.playground.state import Channel, Command, State

Json = dict[str, Any]

STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = 3, 4, 5, 6, 7, 8, 9, 10, 11

LARGEST_NUMBER = 2**53 - 1
"""What integer and number options can hold: beyond it a double skips integers."""

_COMMAND_FIELDS = {
    "type": 1,
    "description": "",
    "name_localizations": None,
    "description_localizations": None,
    "default_member_permissions": None,
    "nsfw": False,
    "contexts": None,
}
_OPTION_FIELDS = (
    "type",
    "name",
    "description",
    "name_localizations",
    "description_localizations",
    "required",
    "autocomplete",
    "choices",
    "options",
    "channel_types",
    "min_value",
    "max_value",
    "min_length",
    "max_length",
)


class Commands:
    def __init__(self, state: State, rendering: Rendering, events: Events, rate_limits: RateLimits) -> None:
        self._state = state
        self._rate_limits = rate_limits
        self._rendering = rendering
        self._events = events

    def replace(self, guild_id: str | None, payload: object) -> list[Json]:
        """PUT: these and no others. A command that keeps its name and type keeps its id, as on Discord."""
        sent = check_commands(payload)
        old = {(c.body["type"], c.body["name"]): c for c in self._state.commands if c.guild_id == guild_id}
        named = [(body.get("type") or 1, body["name"]) for body in sent]
        self._rate_limits.take_command_creates(guild_id, sum(name not in old for name in named))
        kept = []
        for name, body in zip(named, sent, strict=True):
            earlier = old.pop(name, None)
            full = self._full(body, guild_id, earlier)
            kept.append(self._state.commands.put(Command(full["id"], guild_id, full)))
        for command in old.values():
            self._state.commands.delete(command.id)
        self._events.publish(CommandsChanged())
        return [command.body for command in kept]

    def listing(self, guild_id: str | None) -> list[Json]:
        return [command.body for command in self._state.commands if command.guild_id == guild_id]

    def for_member(self, user_id: str) -> list[Json]:
        """What this member's picker shows; a command forbidden to them in the guild is left to direct messages alone."""
        shown = []
        for command in self._state.commands:
            if self._may_use_in_guild(command, user_id):
                shown.append(command.body)
            elif self._in_context(command, None):
                shown.append(command.body | {"contexts": [1]})
        return shown

    def usable(self, command_id: str, user_id: str, channel: Channel) -> Command:
        """The command, where this member may use it in this channel; else Discord's refusal."""
        command = self._state.commands.get(command_id)
        if command is None:
            raise errors.unknown_command()
        if not self._in_context(command, channel.guild_id):
            raise _wrong_place("This command cannot be used here.")
        if channel.guild_id is not None:
            granted = self._rendering.permissions(user_id, channel)
            if not granted & Permission.USE_APPLICATION_COMMANDS or not self._may_use_in_guild(
                command, user_id
            ):
                raise errors.missing_permissions()
            if command.body["nsfw"] and not channel.nsfw:
                raise _wrong_place("This command can only be used in age-restricted channels.")
        return command

    def resolve(self, command: Command, sent: list[Json], *, partial: bool = False) -> Json:
        """The `data` of an interaction from a member's options; with `partial` (autocomplete) nothing needs to be complete."""
        found = FormErrors()
        resolved: Json = {}
        options = self._resolve(
            command.body.get("options") or [], sent, ("options",), resolved, partial, found
        )
        found.raise_if_any()
        data = self._data(command) | {"options": options}
        if resolved:
            data["resolved"] = resolved
        return data

    def menu_data(self, command: Command, target_id: str) -> Json:
        """The `data` of a user (2) or message (3) context menu."""
        resolved: Json = {}
        if command.body["type"] == 2:
            self._resolve_user(target_id, resolved)
        else:
            message = self._state.messages.get(target_id)
            if message is None:
                raise errors.unknown_message()
            resolved["messages"] = {target_id: self._rendering.message(message)}
        return self._data(command) | {"target_id": target_id, "resolved": resolved}

    def resolve_entities(self, component_type: int, values: list[str]) -> Json:
        """`resolved` for the values of a user, role, mentionable or channel select, or of uploaded files."""
        option = {5: USER, 6: ROLE, 7: MENTIONABLE, 8: CHANNEL, 19: ATTACHMENT}[component_type]
        found, resolved = FormErrors(), dict[str, Any]()
        for index, value in enumerate(values):
            self._resolve_value({"type": option}, value, ("values", index), resolved, found)
        found.raise_if_any()
        return resolved

    def _full(self, body: Json, guild_id: str | None, earlier: Command | None) -> Json:
        full = {name: body.get(name, default) for name, default in _COMMAND_FIELDS.items()}
        full["type"] = full["type"] or 1
        full["description"] = full["description"] or ""
        full["nsfw"] = bool(full["nsfw"])
        if full["default_member_permissions"] is not None:
            full["default_member_permissions"] = str(full["default_member_permissions"])
        full["name"] = body["name"]
        full["options"] = [_full_option(option) for option in body.get("options") or ()]
        if full["type"] != 1:
            del full["options"]
        full["application_id"] = self._state.application_id
        full["integration_types"] = body.get("integration_types") or [0]
        if guild_id is None:
            full["dm_permission"] = body.get("dm_permission") is not False
        else:
            full["guild_id"] = guild_id
            del full["contexts"]
        changed = (
            earlier is None or {k: v for k, v in earlier.body.items() if k not in ("id", "version")} != full
        )
        full["id"] = self._state.snowflakes.next() if earlier is None else earlier.id
        full["version"] = (
            self._state.snowflakes.next() if earlier is None or changed else earlier.body["version"]
        )
        return full

    def _data(self, command: Command) -> Json:
        data: Json = {"id": command.id, "name": command.body["name"], "type": command.body["type"]}
        if command.guild_id is not None:
            data["guild_id"] = command.guild_id
        return data

    def _in_context(self, command: Command, guild_id: str | None) -> bool:
        if guild_id is None:
            contexts = command.body.get("contexts")
            return command.guild_id is None and (
                command.body["dm_permission"] if contexts is None else 1 in contexts
            )
        contexts = command.body.get("contexts")
        return command.guild_id in (None, guild_id) and (contexts is None or 0 in contexts)

    def _may_use_in_guild(self, command: Command, user_id: str) -> bool:
        needed = command.body["default_member_permissions"]
        if needed is None:
            return True
        if user_id == self._state.guild.owner_id:
            return True
        held = {*self._state.members[user_id].roles, self._state.guild.id}
        bits = 0
        for role in self._state.roles:
            bits |= role.permissions if role.id in held else 0
        # "0" means: administrators only.
        return bool(bits & Permission.ADMINISTRATOR) or (
            int(needed) != 0 and bits & int(needed) == int(needed)
        )

    def _resolve(
        self,
        defined: list[Json],
        sent: list[Json],
        path: Path,
        resolved: Json,
        partial: bool,
        found: FormErrors,
    ) -> list[Json]:
        known = {option["name"]: option for option in defined}
        complete = []
        for index, given in enumerate(sent):
            where = (*path, index)
            definition = known.pop(str(given.get("name")), None)
            if definition is None:
                message = f"No option is named {given.get('name')!r}."
                found.add((*where, "name"), "APPLICATION_COMMAND_OPTION_UNKNOWN", message)
                continue
            option: Json = {"name": definition["name"], "type": definition["type"]}
            if definition["type"] in (SUBCOMMAND, GROUP):
                inner = given.get("options") or []
                option["options"] = self._resolve(
                    definition.get("options") or [], inner, (*where, "options"), resolved, partial, found
                )
            else:
                option["value"] = given.get("value")
                if given.get("focused"):
                    option["focused"] = True
                if not partial:
                    option["value"] = self._resolve_value(
                        definition, option["value"], (*where, "value"), resolved, found
                    )
            complete.append(option)
        nested = bool(defined) and defined[0]["type"] in (SUBCOMMAND, GROUP)
        missing = (
            list(known.values())
            if nested and not complete
            else [o for o in known.values() if o.get("required")]
        )
        if missing and not partial:
            for option in missing[:1] if nested else missing:
                message = "Choose a subcommand." if nested else "This option is required. Specify a value."
                found.add((*path, option["name"]), "BASE_TYPE_REQUIRED", message)
        return complete

    def _resolve_value(self, option: Json, value: Any, path: Path, resolved: Json, found: FormErrors) -> Any:
        kind = option["type"]
        problem: tuple[str, str] | None = None
        if kind == STRING:
            least, most = option.get("min_length") or 0, option.get("max_length") or 6000
            if not isinstance(value, str):
                problem = ("STRING_TYPE_CONVERT", "Could not interpret as string.")
            elif not max(1, least) <= len(value) <= most:
                problem = ("BASE_TYPE_BAD_LENGTH", f"Must be between {max(1, least)} and {most} in length.")
        elif kind in (INTEGER, NUMBER):
            if isinstance(value, bool) or not isinstance(value, int if kind == INTEGER else int | float):
                problem = (
                    "NUMBER_TYPE_COERCE",
                    f'Value "{value}" is not {"int" if kind == INTEGER else "a number"}.',
                )
            elif abs(value) > LARGEST_NUMBER:
                problem = ("NUMBER_TYPE_MAX", f"Must be between -{LARGEST_NUMBER} and {LARGEST_NUMBER}.")
            elif option.get("min_value") is not None and value < option["min_value"]:
                problem = ("NUMBER_TYPE_MIN", f"Must be at least {option['min_value']}.")
            elif option.get("max_value") is not None and value > option["max_value"]:
                problem = ("NUMBER_TYPE_MAX", f"Must be at most {option['max_value']}.")
        elif kind == BOOLEAN:
            if not isinstance(value, bool):
                problem = ("BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        else:
            problem = (
                None
                if self._resolve_entity(kind, str(value), resolved)
                else ("SNOWFLAKE_UNKNOWN", f"Unknown: {value}")
            )
            value = str(value)
        choices = option.get("choices")
        if problem is None and choices and value not in [choice["value"] for choice in choices]:
            problem = ("BASE_TYPE_CHOICES", "Value must be one of the offered choices.")
        if problem is not None:
            found.add(path, *problem)
        return value

    def _resolve_entity(self, kind: int, value: str, resolved: Json) -> bool:
        if kind in (USER, MENTIONABLE) and self._state.users.get(value):
            self._resolve_user(value, resolved)
        elif kind in (ROLE, MENTIONABLE) and (role := self._state.roles.get(value)):
            resolved.setdefault("roles", {})[value] = self._rendering.role(role)
        elif (
            kind == CHANNEL and (channel := self._state.channels.get(value)) and channel.guild_id is not None
        ):
            partial = self._rendering.channel(channel)
            partial["permissions"] = str(self._rendering.permissions(self._state.application_id, channel))
            resolved.setdefault("channels", {})[value] = partial
        elif kind == ATTACHMENT and (attachment := self._state.attachments.get(value)):
            resolved.setdefault("attachments", {})[value] = self._rendering.attachment(attachment)
        else:
            return False
        return True

    def _resolve_user(self, user_id: str, resolved: Json) -> None:
        user, member = self._state.users.get(user_id), self._state.members.get(user_id)
        if user is None:
            raise errors.unknown_user()
        resolved.setdefault("users", {})[user_id] = self._rendering.user(user)
        if member is not None:
            partial = self._rendering.member_without_user(member)
            partial["permissions"] = "0"
            resolved.setdefault("members", {})[user_id] = partial


def _wrong_place(message: str) -> errors.DiscordError:
    return errors.DiscordError(400, 50024, message)


def focused(options: list[Json]) -> Json | None:
    """The option, however deep, that is being typed, if one is."""
    for option in options:
        if found := option if option.get("focused") else focused(option.get("options") or []):
            return found
    return None


def _full_option(option: Json) -> Json:
    full = {name: option[name] for name in _OPTION_FIELDS if option.get(name) is not None}
    if "options" in full:
        full["options"] = [_full_option(inner) for inner in full["options"]]
    if full["type"] not in (SUBCOMMAND, GROUP):
        full.setdefault("required", False)
    return full
