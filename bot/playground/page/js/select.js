/** Select menus (string, user, role, mentionable, channel) as Discord draws them, for messages and modals. */

import { avatar } from "./avatar.js";
import { el, fill, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { openPopover } from "./popover.js";

export class Select {
  #closePopover = null;

  /** `onChange(values)` runs when a choice is complete: at once for one value, on closing for several; `chosen` outranks the defaults. */
  constructor(component, chat, onChange, chosen) {
    this.component = component;
    this.onChange = onChange;
    this.options = optionsOf(component, chat);
    this.min = component.min_values ?? 1;
    this.max = component.max_values ?? 1;
    const preset = new Set((component.default_values ?? []).map((entry) => entry.id));
    this.values = this.options
      .filter((option) => option.default || preset.has(option.value))
      .map((option) => option.value);
    if (chosen) this.values = chosen;
    this.label = el("span.select-label");
    this.node = el(
      "button.select",
      {
        type: "button",
        role: "combobox",
        "aria-haspopup": "listbox",
        "aria-expanded": "false",
        "aria-label": component.placeholder || "Make a selection",
        disabled: Boolean(component.disabled),
        dataset: { customId: component.custom_id },
        on: { click: () => this.#toggle(), keydown: (event) => this.#openByKey(event) },
      },
      this.label,
      icon("chevronDown"),
    );
    this.#write();
  }

  #write() {
    const chosen = this.options.filter((option) => this.values.includes(option.value));
    this.node.classList.toggle("select-empty", !chosen.length);
    if (!chosen.length) fill(this.label, this.component.placeholder || "Make a selection");
    else if (chosen.length === 1) fill(this.label, emojiText(chosen[0].emoji), chosen[0].label);
    else
      fill(
        this.label,
        chosen.map((option) => el("span.select-chip", {}, emojiText(option.emoji), option.label)),
      );
  }

  #openByKey(event) {
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || this.#closePopover) return;
    event.preventDefault();
    this.#toggle();
  }

  #toggle() {
    // Disabled it would lose the focus while the bot answers.
    if (this.node.hasAttribute("aria-busy")) return;
    if (this.#closePopover) {
      this.#closePopover();
      return;
    }
    const before = this.values.join("\n");
    const id = freshId("select");
    const list = el("div.select-list", {
      role: "listbox",
      id,
      tabIndex: -1,
      "aria-multiselectable": String(this.max > 1),
    });
    const rows = this.options.map((option) => {
      const row = el(
        "div.select-option",
        {
          role: "option",
          tabIndex: -1,
          "aria-selected": String(this.values.includes(option.value)),
          on: { click: () => choose(option) },
        },
        option.icon ?? (option.emoji && el("span.select-emoji", {}, emojiText(option.emoji))),
        el(
          "span.select-text",
          {},
          el("span.select-title", {}, option.label),
          option.description && el("span.select-detail", {}, option.description),
        ),
        el("span.select-mark", {}, icon("check")),
      );
      return row;
    });
    const note =
      this.max > 1
        ? el(
            "div.select-note",
            {},
            `Choose ${this.min === this.max ? this.max : `${this.min} to ${this.max}`}, then close the list`,
          )
        : null;
    fill(list, note, rows, !rows.length && el("div.select-note", {}, "Nothing to choose from"));
    const choose = (option) => {
      const chosen = this.values.includes(option.value);
      if (this.max === 1) {
        this.values = chosen && this.min === 0 ? [] : [option.value];
        this.#closePopover();
        return;
      }
      if (chosen) this.values = this.values.filter((value) => value !== option.value);
      else if (this.values.length < this.max) this.values = [...this.values, option.value];
      rows.forEach((row, index) =>
        row.setAttribute("aria-selected", String(this.values.includes(this.options[index].value))),
      );
      this.#write();
    };
    list.addEventListener("keydown", (event) => {
      const at = rows.indexOf(document.activeElement);
      const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 };
      if (event.key in steps) rows[(steps[event.key] + rows.length) % rows.length]?.focus();
      else if ((event.key === "Enter" || event.key === " ") && at >= 0) choose(this.options[at]);
      else if (event.key === "Tab") this.#closePopover();
      else return;
      event.preventDefault();
    });
    this.node.setAttribute("aria-expanded", "true");
    this.node.setAttribute("aria-controls", id);
    this.#closePopover = openPopover(list, this.node, {
      matchWidth: true,
      onClose: () => {
        this.#closePopover = null;
        this.node.setAttribute("aria-expanded", "false");
        this.#write();
        this.node.focus({ preventScroll: true });
        const picked = this.max === 1 ? true : this.values.join("\n") !== before;
        if (picked && this.values.length >= this.min && (this.max > 1 || this.values.join("\n") !== before))
          this.onChange(this.values);
      },
    });
    (
      rows[
        Math.max(
          0,
          this.options.findIndex((option) => this.values.includes(option.value)),
        )
      ] ?? list
    ).focus({ preventScroll: true });
  }
}

/** Unicode emoji as they are; custom ones by their name, because their pictures live on Discord's servers. */
export function emojiText(emoji) {
  if (!emoji) return "";
  return emoji.id ? `:${emoji.name}: ` : `${emoji.name} `;
}

function optionsOf(component, chat) {
  const { store } = chat;
  if (component.type === 3) return component.options ?? [];
  if (component.type === 8) {
    const types = component.channel_types;
    return [...store.channels.values()]
      .filter(
        (channel) =>
          channel.type !== 1 && channel.type !== 4 && (!types?.length || types.includes(channel.type)),
      )
      .map((channel) => ({ value: channel.id, label: channel.name, icon: icon("hash") }));
  }
  const users = [...store.members.values()].map(({ user }) => user);
  if (store.bot && !store.members.has(store.bot.id)) users.push(store.bot);
  const people = users.map((user) => ({
    value: user.id,
    label: store.nameOf(user),
    description: user.username,
    icon: avatar(user, store.nameOf(user)),
  }));
  const roles = (store.guild?.roles ?? []).map((role) => ({
    value: role.id,
    label: `@${role.name.replace(/^@/, "")}`,
    icon: icon("at"),
  }));
  if (component.type === 5) return people;
  return component.type === 6 ? roles : [...people, ...roles];
}
