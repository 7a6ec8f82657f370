/** One message: redrawn part by part, so that an edit leaves untouched pictures, menus and the keyboard focus alone. */

import { avatar } from "./avatar.js";
import { fileCard, renderComponents } from "./components.js";
import { el, fill } from "./dom.js";
import { renderEmbed } from "./embeds.js";
import { icon } from "./icons.js";
import { markdown, plainText } from "./markdown.js";
import { openMessageMenu, openUserMenu } from "./message_menu.js";
import { onContextMenu } from "./menu.js";
import { PictureCache, isPicture, mediaOf, mosaic } from "./pictures.js";
import { describeFailure } from "./refusals.js";
import { FLAGS } from "./store.js";
import { clock, longTime, messageTime } from "./time.js";

const COMMAND = 2;

export class MessageView {
  #keys = new Map();
  #pictures = new PictureCache();
  #busy = new Set();
  #chosen = new Map();
  #drawn = null;
  #failure = null;

  constructor(chat, message) {
    this.chat = chat;
    const slot = (name) => (this[name] = el(`div.message-${name}`));
    this.node = el(
      "li.message",
      { tabIndex: -1, dataset: { id: message.id } },
      slot("context"),
      slot("side"),
      el(
        "div.message-main",
        {},
        slot("head"),
        slot("content"),
        slot("media"),
        slot("embeds"),
        slot("components"),
        slot("failure"),
        slot("foot"),
      ),
      el(
        "button.message-more",
        {
          type: "button",
          title: "More",
          "aria-label": "More actions for this message",
          "aria-haspopup": "menu",
          on: { click: (event) => this.#menu(event.currentTarget) },
        },
        icon("more"),
      ),
    );
    this.content.classList.add("markup");
    onContextMenu(this.node, (at, target) => {
      if (target.closest(".avatar, .author")) openUserMenu(at, this.chat, this.message);
      else this.#menu(at);
    });
    this.update(message);
  }

  /** Shows the newest state of the message; one that cannot be drawn must not take the others along. */
  update(message) {
    this.message = message;
    try {
      this.#update(message);
    } catch (error) {
      console.error(`Message ${message.id} cannot be shown:`, error);
      for (const part of [this.media, this.embeds, this.components]) fill(part);
      fill(this.content, "This message cannot be shown.");
      this.#keys.clear();
    }
  }

  #update(message) {
    const { chat } = this;
    const { flags = 0 } = message;
    const name = chat.store.nameOf(message.author);
    const loading = Boolean(flags & FLAGS.LOADING);
    this.node.classList.toggle("ephemeral", Boolean(flags & FLAGS.EPHEMERAL));
    this.node.classList.toggle("mentions-me", this.#mentionsMe());
    this.node.setAttribute("aria-label", `${name}, ${messageTime(new Date(message.timestamp))}`);

    this.#draw(
      "context",
      [
        message.interaction_metadata?.id,
        message.referenced_message?.id,
        message.referenced_message?.content,
        message.message_reference,
      ],
      () => this.#contextLine(),
    );
    this.#draw("side", [message.author.id, name, message.timestamp], () => [
      avatar(message.author, name),
      this.#time("span.message-clock", clock),
    ]);
    this.#draw("head", [message.author, name, message.timestamp], () => this.#headLine(name));
    this.#draw("content", [message.content, loading, message.edited_timestamp], () => this.#text(loading));
    this.#draw("media", message.attachments ?? [], () => this.#attachments());
    this.#draw("embeds", flags & FLAGS.SUPPRESS_EMBEDS ? [] : (message.embeds ?? []), () =>
      this.#embedNodes(),
    );
    this.#drawComponents();
    this.#draw("foot", [flags & FLAGS.EPHEMERAL], () =>
      flags & FLAGS.EPHEMERAL ? ephemeralFoot(() => chat.dismiss(message)) : null,
    );
  }

  /** A grouped message continues the one above: no avatar, no name. */
  set grouped(grouped) {
    this.node.classList.toggle("grouped", grouped);
  }

  /** Whether the message shows who asked for it or what it answers, and so begins a group. */
  get hasContext() {
    return this.context.childElementCount > 0;
  }

  /** The answer that this message promised ("is thinking…") will not come. */
  fail() {
    this.#failure = "The application did not respond";
    this.content.classList.add("failed");
    this.#drawFailure();
  }

  /** Scroll targets light up for a moment. */
  flash() {
    this.node.classList.remove("flash");
    // Reading a size restarts the animation where the class was just there.
    void this.node.offsetWidth;
    this.node.classList.add("flash");
    this.node.focus({ preventScroll: true });
  }

  #draw(part, state, make) {
    const key = JSON.stringify(state);
    if (this.#keys.get(part) === key) return;
    this.#keys.set(part, key);
    fill(this[part], make());
  }

  #mentionsMe() {
    const { message, chat } = this;
    return (
      message.author.id !== chat.store.me &&
      (message.mentions ?? []).some((user) => user.id === chat.store.me)
    );
  }

  #time(spec, write) {
    const date = new Date(this.message.timestamp);
    return el(spec, {}, el("time", { dateTime: date.toISOString(), title: longTime(date) }, write(date)));
  }

  #headLine(name) {
    const { author } = this.message;
    const color = this.chat.store.colorOf(author);
    return [
      el("span.author", { style: { "--name": color } }, name),
      author.bot && el("span.tag", {}, "APP"),
      this.#time("span.message-time", messageTime),
    ];
  }

  #contextLine() {
    const { message, chat } = this;
    const { interaction_metadata: asked, message_reference: reference } = message;
    if (asked?.type === COMMAND && !reference) {
      const command =
        message.interaction?.name ??
        asked.name ??
        chat.store.commands.find((known) => known.id === asked.command_id)?.name;
      return usedLine(chat, asked.user, command);
    }
    if (!reference) return null;
    const source =
      message.referenced_message ??
      chat.store.message(reference.channel_id ?? message.channel_id, reference.message_id);
    if (!source)
      return el("div.context", {}, el("span.context-text", {}, "The original message was deleted"));
    const name = chat.store.nameOf(source.author);
    const summary =
      plainText(source.content ?? "", chat) ||
      (source.attachments?.length ? "Click to see the picture" : "Click to see the message");
    return el(
      "button.context.context-button",
      {
        type: "button",
        on: { click: () => chat.jumpTo(source.channel_id ?? message.channel_id, source.id) },
      },
      avatar(source.author, name),
      el("span.context-name", {}, name),
      el("span.context-text", {}, summary),
      source.attachments?.length ? icon("picture") : null,
    );
  }

  #text(loading) {
    const { message, chat } = this;
    if (loading) return thinking(`${chat.store.nameOf(message.author)} is thinking…`);
    const edited =
      message.edited_timestamp &&
      el("span.edited", { title: longTime(new Date(message.edited_timestamp)) }, " (edited)");
    if (!message.content) return null;
    const jumbo =
      /^(?:\p{Extended_Pictographic}(?:\u200d\p{Extended_Pictographic}|\ufe0f|\p{Emoji_Modifier})*\s*){1,9}$/u.test(
        message.content,
      );
    return el(jumbo ? "div.jumbo" : "div", {}, markdown(message.content, chat), edited);
  }

  #attachments() {
    if ((this.message.flags ?? 0) & FLAGS.COMPONENTS_V2) return null;
    const all = this.message.attachments ?? [];
    const pictures = all.filter(isPicture);
    const media = pictures.map((item) =>
      mediaOf(item, { alt: item.description, spoiler: item.filename.startsWith("SPOILER_") }),
    );
    return [
      media.length > 0 && mosaic(media, this.#pictures, "attachment"),
      all.filter((item) => !isPicture(item)).map(fileCard),
    ];
  }

  #embedNodes() {
    const embeds = (this.message.embeds ?? []).filter((embed) => !embed.type || embed.type === "rich");
    return (this.message.flags ?? 0) & FLAGS.SUPPRESS_EMBEDS
      ? null
      : embeds.map((embed, index) => renderEmbed(embed, this.chat, this.#pictures, `embed${index}`));
  }

  #drawComponents() {
    const components = this.message.components ?? [];
    const drawn = withoutSignatures(components);
    if (drawn !== this.#drawn) this.#chosen.clear();
    this.#drawn = drawn;
    const focused = this.components.contains(document.activeElement)
      ? document.activeElement.dataset.customId
      : null;
    const host = {
      chat: this.chat,
      pictures: this.#pictures,
      busy: this.#busy,
      press: (component) =>
        this.#ask(component.custom_id, () => this.chat.click(this.message, component.custom_id)),
      chosen: this.#chosen,
      choose: (component, values) => {
        // What was chosen stays visible until the bot changes the message.
        this.#chosen.set(component.custom_id, values);
        this.#ask(component.custom_id, () => this.chat.select(this.message, component.custom_id, values));
      },
    };
    this.#draw("components", [drawn, [...this.#busy]], () => renderComponents(components, host));
    if (focused)
      this.components
        .querySelector(`[data-custom-id="${CSS.escape(focused)}"]`)
        ?.focus({ preventScroll: true });
  }

  /** Waits for the bot's answer to a click or a choice; the pressed component shows it meanwhile. */
  async #ask(customId, request) {
    if (this.#busy.has(customId)) return;
    this.#failure = null;
    this.#busy.add(customId);
    this.#drawFailure();
    this.#drawComponents();
    try {
      await request();
    } catch (error) {
      this.#failure = describeFailure(error);
    }
    this.#busy.delete(customId);
    this.#drawFailure();
    this.#drawComponents();
  }

  #drawFailure() {
    fill(
      this.failure,
      this.#failure && el("div.failure-note", { role: "alert" }, icon("warning"), this.#failure),
    );
  }

  #menu(anchor) {
    openMessageMenu(anchor, this.chat, this.message);
  }
}

/** "Ada used /imagine". */
export function usedLine(chat, user, command) {
  const name = chat.store.nameOf(user);
  const color = chat.store.colorOf(user);
  return el(
    "div.context",
    {},
    avatar(user, name),
    el("span.context-name", { style: { "--name": color } }, name),
    " used ",
    el("span.context-command", {}, command ? commandLabel(command) : "a command"),
  );
}

// Context-menu commands have capitals or spaces and no slash; chat commands have neither, apart from their subcommands' spaces.
const commandLabel = (name) => (/^[^\p{Lu}]+$/u.test(name) ? `/${name}` : name);

/** "Only you can see this · Dismiss message". */
export function ephemeralFoot(dismiss) {
  return el(
    "div.ephemeral-note",
    {},
    icon("eye"),
    "Only you can see this · ",
    el("button.text-link", { type: "button", on: { click: dismiss } }, "Dismiss message"),
  );
}

/** A line with moving dots. */
export function thinking(text) {
  return el(
    "div.thinking",
    {},
    el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i")),
    el("span", {}, text),
  );
}

/** Addresses are signed anew with every hello; components whose files did not change need no redraw. */
function withoutSignatures(components) {
  return JSON.stringify(components).replace(/(https?:\/\/[^"?]*)\?[^"]*/g, "$1");
}
