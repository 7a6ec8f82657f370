/** What stands at the beginning of a channel, and tells a newcomer what to type. */

import { MAIN_COMMAND, chatCommands } from "./command_catalog.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";

const EXAMPLE = {
  command: MAIN_COMMAND,
  option: "prompt",
  value: "a red sailboat on a calm sea at sunset, watercolor",
};

/** The welcome block of a channel; `empty` says whether nothing was ever written there. */
export function welcome(chat, channel, empty) {
  const { store } = chat;
  const name = store.channelName(channel);
  const direct = channel.type === 1;
  return el(
    "div.welcome",
    {},
    el("div.welcome-mark", { "aria-hidden": "true" }, icon(direct ? "at" : "hash")),
    el("h2.welcome-title", {}, direct ? name : `Welcome to #${name}!`),
    el(
      "p.welcome-text",
      {},
      direct
        ? `This is the beginning of your direct messages with ${name}. Nobody else sees them.`
        : `This is the start of the #${name} channel.`,
    ),
    empty && example(chat, channel),
  );
}

function example(chat, channel) {
  const known = chatCommands(chat.store, channel);
  const entry = known.find(({ name }) => name === EXAMPLE.command);
  if (known.length && !entry) return commandOverview(chat, known);
  const text = `/${EXAMPLE.command} ${EXAMPLE.option}: ${EXAMPLE.value}`;
  return el(
    "section.welcome-card",
    { "aria-label": "Make your first picture" },
    el("h3", {}, "Make your first picture"),
    el("p", {}, "Type ", el("kbd", {}, "/"), " below to see every command, or start with this one:"),
    el(
      "button.example",
      { type: "button", on: { click: () => chat.composer.fillIn(text) } },
      el("code", {}, el("b", {}, `/${EXAMPLE.command}`), ` ${EXAMPLE.option}: ${EXAMPLE.value}`),
      el("span.example-action", {}, "Fill in"),
    ),
    el(
      "p.welcome-hint",
      {},
      matchMedia("(hover: none)").matches ? "Then send it" : ["Then press ", el("kbd", {}, "Enter")],
      ". Four pictures come back, with buttons to enlarge or vary each of them.",
    ),
  );
}

function commandOverview(chat, entries) {
  return el(
    "section.welcome-card",
    { "aria-label": "Commands" },
    el("h3", {}, "What you can do here"),
    el("p", {}, "Type ", el("kbd", {}, "/"), " below to see every command, or start with one of these:"),
    entries
      .slice(0, 4)
      .map((entry) =>
        el(
          "button.example",
          { type: "button", on: { click: () => chat.composer.fillIn(`/${entry.name} `) } },
          el("code", {}, el("b", {}, `/${entry.name}`), ` ${entry.description}`),
          el("span.example-action", {}, "Fill in"),
        ),
      ),
  );
}
