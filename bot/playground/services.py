"""Everything the routes and the page stand on, put together once per playground."""

from __future__ import annotations

from dataclasses import dataclass

from bot.playground.attachments import Attachments
from bot.playground.bot_events import BotEvents
from bot.playground.clock import Clock
from bot.playground.commands import Commands
from bot.playground.events import Events
from bot.playground.faults import Faults
from bot.playground.gateway import Gateway
from bot.playground.interactions import Interactions
from bot.playground.members import Members
from bot.playground.messages import Messages
from bot.playground.rate_limits import RateLimits
from bot.playground.rendering import Rendering
from bot.playground.snowflakes import Snowflakes
from bot.playground.state import State
from bot.playground.store import Store


@dataclass(frozen=True)
class Services:
    clock: Clock
    state: State
    events: Events
    faults: Faults
    rate_limits: RateLimits
    attachments: Attachments
    rendering: Rendering
    messages: Messages
    commands: Commands
    gateway: Gateway
    interactions: Interactions
    members: Members


def assemble(store: Store, clock: Clock, faults: Faults) -> Services:
    state = State(store, clock, Snowflakes(clock))
    events = Events()
    rate_limits = RateLimits(clock)
    attachments = Attachments(state)
    rendering = Rendering(state, attachments)
    messages = Messages(state, attachments, rendering, events)
    commands = Commands(state, rendering, events, rate_limits)
    gateway = Gateway(state, rendering, events, faults, rate_limits)
    BotEvents(state, rendering, events, gateway.dispatch)
    interactions = Interactions(state, rendering, messages, events, gateway.dispatch)
    members = Members(state, rendering, messages, attachments, commands, interactions)
    return Services(
        clock,
        state,
        events,
        faults,
        rate_limits,
        attachments,
        rendering,
        messages,
        commands,
        gateway,
        interactions,
        members,
    )
