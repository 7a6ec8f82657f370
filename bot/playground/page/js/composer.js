/** The message box: plain text, the command picker behind `/`, a chosen command's form, drafts per channel, history. */

import { avatar } from "./avatar.js";
import { chatCommands, matchCommands, nearestCommand } from "./command_catalog.js";
import { CommandForm } from "./command_form.js";
import { findCommand } from "./command_text.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { Listbox } from "./listbox.js";
import { toast } from "./notices.js";
import { TYPES } from "./option_field.js";
import { describeFailure } from "./refusals.js";

const LONGEST_MESSAGE = 2000;
const HISTORY = 50;
const TYPING_MS = 9000;

export class Composer {
  #drafts = new Map();
  #history = [];
  #recalled = -1;
  #form = null;
  #channel = null;
  #typing = new Map();

  constructor(node, chat) {
    this.node = node;
    this.chat = chat;
    this.area = el("textarea.composer-text", {
      rows: 1,
      "aria-label": "Message",
      autocomplete: "off",
      enterKeyHint: "send",
    });
    this.grow = el("span.grow", {}, this.area);
    this.picker = new Listbox({
      label: "Commands",
      owner: this.area,
      onPick: (item) => this.#start(item.entry, ""),
    });
    this.slash = el(
      "button.composer-button",
      {
        type: "button",
        title: "Commands",
        "aria-label": "Show commands",
        on: { click: () => this.#openPicker() },
      },
      icon("slash"),
    );
    this.cancel = el(
      "button.composer-button.composer-cancel",
      {
        type: "button",
        title: "Leave this command",
        "aria-label": "Leave this command",
        hidden: true,
        on: { click: () => this.#leave("") },
      },
      icon("close"),
    );
    this.send = el(
      "button.composer-button.composer-send",
      { type: "button", title: "Send (Enter)", "aria-label": "Send", on: { click: () => this.submit() } },
      icon("send"),
    );
    this.body = el("div.composer-body", {}, this.grow);
    this.above = el("div.composer-above");
    this.lists = el("div.composer-lists", {}, this.picker.node);
    this.problem = el("div.command-problem", { role: "alert" });
    this.typing = el("div.typing", { "aria-live": "polite" });
    const box = el(
      "div.composer-box",
      {},
      this.above,
      this.problem,
      el("div.composer-row", {}, this.slash, this.body, this.cancel, this.send),
    );
    fill(node, this.lists, box, this.typing);
    this.#listen(box);
  }

  #listen(box) {
    this.area.addEventListener("input", () => this.#typed());
    this.area.addEventListener("keydown", (event) => this.picker.handleKey(event) || this.#key(event));
    this.area.addEventListener("blur", () => this.picker.hide());
    this.area.addEventListener("focus", () => this.#suggest());
    box.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.acceptFiles(event.clipboardData.files);
    });
    box.addEventListener("click", (event) => {
      if (event.target.closest("button, textarea, label, a, input")) return;
      this.focus();
    });
    const { store } = this.chat;
    store.on("commands", () => this.#suggest());
    store.on("typing", ({ channel_id: channel, user_id: user }) => this.#showTyping(channel, user));
    store.on("message_create", (message) => this.#endTyping(message.channel_id, message.author.id));
  }

  /** Switches to a channel (of a member): keeps what was being written in the one before. */
  show(channel, key) {
    if (this.#channel && key !== this.key)
      this.#drafts.set(this.key, { text: this.area.value, form: this.#form });
    this.#channel = channel;
    const same = key === this.key;
    this.key = key;
    const draft = this.#drafts.get(key) ?? { text: "", form: null };
    const name = this.chat.store.channelName(channel);
    this.area.placeholder = `Message ${channel.type === 1 ? "@" : "#"}${name}${innerWidth > 760 ? ", or / for commands" : ""}`;
    this.area.setAttribute("aria-label", `Message ${channel.type === 1 ? "" : "#"}${name}`);
    this.#drawTyping();
    // A reconnect shows the same channel again; whoever is typing keeps the cursor.
    if (same) return;
    this.#setForm(draft.form, true);
    this.#setText(draft.text);
  }

  focus() {
    if (this.#form) this.#form.focus();
    else this.area.focus();
  }

  /** Puts a text into the box as if it had been typed: a command becomes its form. */
  fillIn(text) {
    const found = findCommand(text, this.#entries());
    if (found) this.#start(found.entry, found.rest);
    else {
      this.#setForm(null);
      this.#setText(text);
      this.area.focus();
    }
  }

  /** Adds text at the end of what is being written. */
  insert(text) {
    if (this.#form) this.#form.focus();
    else {
      this.#setText(this.area.value + text);
      this.area.focus();
    }
  }

  /** Files that were dropped or pasted anywhere go to the command being written. */
  acceptFiles(files) {
    if (this.#form) {
      const refused = [...files].filter((file) => !this.#form.acceptFile(file));
      if (refused.length)
        toast(`/${this.#form.entry.name} takes no ${refused.length === files.length ? "" : "further "}file.`);
      return;
    }
    const takers = this.#entries().filter((entry) =>
      entry.options.some((option) => option.type === TYPES.ATTACHMENT),
    );
    if (takers.length === 1) {
      this.#start(takers[0], "");
      this.acceptFiles(files);
    } else if (takers.length)
      toast(
        `Begin a command that takes a file first: ${takers.map((entry) => `/${entry.name}`).join(", ")}.`,
      );
    else toast("No command here takes a file.");
  }

  async submit() {
    this.picker.hide();
    if (this.#form) await this.#sendCommand(this.#form);
    else await this.#sendText(this.area.value.trim());
  }

  async #sendCommand(form) {
    const options = await form.collect();
    if (!options || this.#form !== form) return;
    this.#remember(form.text);
    this.#setForm(null, true);
    this.#setText("");
    this.area.focus();
    const key = this.key;
    await this.chat.slash(form.channelId, form.entry, options, {
      putBack: () => this.#putBack(form, key),
      drop: () => form.release(),
    });
  }

  async #sendText(text) {
    if (!text) return;
    if (text.startsWith("/")) {
      const found = findCommand(text, this.#entries());
      if (!found) {
        fill(this.problem, this.#unknownCommand(text));
        return;
      }
      this.#start(found.entry, found.rest);
      await this.#sendCommand(this.#form);
      return;
    }
    const length = [...text].length;
    if (length > LONGEST_MESSAGE) {
      fill(
        this.problem,
        `This message has ${length.toLocaleString("en")} characters; at most 2,000 are allowed.`,
      );
      return;
    }
    this.#remember(text);
    this.#setText("");
    try {
      await this.chat.say(this.#channel.id, text);
    } catch (error) {
      fill(this.problem, describeFailure(error));
      if (!this.area.value) this.#setText(text);
    }
  }

  #unknownCommand(text) {
    const { store } = this.chat;
    const typed = text.slice(1).split(/\s/)[0];
    const entries = this.#entries();
    if (!entries.length)
      return `${store.nameOf(store.bot)} has no commands here${store.botOnline ? "" : " while it is offline"}. Your text stays in the box.`;
    const near = nearestCommand(entries, typed);
    const names = entries
      .slice(0, 6)
      .map((entry) => `/${entry.name}`)
      .join(", ");
    return `There is no command /${typed}. ${near ? `Did you mean /${near.name}?` : `There are ${names}.`}`;
  }

  #putBack(form, key) {
    if (key !== this.key) {
      this.#drafts.get(key)?.form?.release();
      this.#drafts.set(key, { text: "", form });
      return;
    }
    this.#setForm(form);
    form.focus();
  }

  #entries() {
    return this.#channel ? chatCommands(this.chat.store, this.#channel) : [];
  }

  #start(entry, rest) {
    this.#setText("");
    const form = new CommandForm(this.chat, this.#channel.id, entry, {
      submit: () => this.submit(),
      cancel: (text) => this.#leave(text),
      changed: () => this.#drawSend(),
      place: (listbox) => this.lists.append(listbox.node),
    });
    form.fallback = this.send;
    form.setText(rest);
    this.#setForm(form);
    form.focus();
  }

  #leave(text) {
    this.#setForm(null);
    this.#setText(text);
    this.area.focus();
  }

  /** Shows a form, or the plain text; the form before it is dropped unless it is `kept` elsewhere. */
  #setForm(form, kept = false) {
    if (!kept) this.#form?.release();
    this.#form = form;
    this.picker.hide();
    fill(this.lists, this.picker.node);
    fill(this.problem);
    fill(this.above, form && [form.hint, form.problems]);
    fill(this.body, form ? form.node : this.grow);
    this.cancel.hidden = !form;
    this.node.classList.toggle("in-command", Boolean(form));
    this.#drawSend();
  }

  #setText(text) {
    this.area.value = text;
    this.grow.dataset.value = text;
    this.#drawSend();
  }

  #drawSend() {
    this.send.disabled = !this.#form && !this.area.value.trim();
  }

  #typed() {
    this.grow.dataset.value = this.area.value;
    this.#recalled = -1;
    fill(this.problem);
    this.#drawSend();
    const found = /^\/.*\s/s.test(this.area.value) && findCommand(this.area.value, this.#entries());
    // A longer command may still begin with these words (`settings` and `settings privacy`), so only the last word decides.
    if (
      found &&
      !this.#entries().some(
        ({ name }) => name !== found.entry.name && name.startsWith(`${found.entry.name} `),
      )
    )
      this.#start(found.entry, found.rest);
    else this.#suggest();
  }

  #suggest() {
    const text = this.area.value;
    if (this.#form || !text.startsWith("/") || document.activeElement !== this.area) {
      this.picker.hide();
      return;
    }
    const { store } = this.chat;
    const bot = store.bot;
    const found = matchCommands(this.#entries(), text.slice(1));
    const items = found.map((entry) => ({
      entry,
      title: `/${entry.name}`,
      nodes: [
        `/${entry.name}`,
        el(
          "span.listbox-options",
          {},
          entry.options
            .filter((option) => option.required)
            .map((option) => el("span.option-name", {}, option.name)),
        ),
      ],
      detail: entry.description,
      icon: avatar(bot, store.nameOf(bot)),
      aside: store.nameOf(bot),
    }));
    const empty = text.includes(" ")
      ? null
      : store.botOnline
        ? "No command fits"
        : `${store.nameOf(bot)} is offline; its commands appear when it is back`;
    this.picker.show(items, { heading: text === "/" ? "Commands" : `Commands matching ${text}`, empty });
  }

  #openPicker() {
    if (this.#form) this.#leave("/");
    else if (!this.area.value) this.#setText("/");
    this.area.focus();
    this.#suggest();
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "ArrowUp" && (this.#recalled >= 0 || !this.area.value)) this.#recall(event, 1);
    else if (event.key === "ArrowDown" && this.#recalled >= 0) this.#recall(event, -1);
  }

  #remember(text) {
    this.#history = [text, ...this.#history.filter((known) => known !== text)].slice(0, HISTORY);
    this.#recalled = -1;
  }

  #recall(event, step) {
    const next = this.#recalled + step;
    if (next >= this.#history.length) return;
    event.preventDefault();
    this.#recalled = next;
    const text = next < 0 ? "" : this.#history[next];
    if (text.startsWith("/")) this.fillIn(text);
    else this.#setText(text);
  }

  #showTyping(channelId, userId) {
    const key = `${channelId}/${userId}`;
    clearTimeout(this.#typing.get(key));
    this.#typing.set(
      key,
      setTimeout(() => this.#endTyping(channelId, userId), TYPING_MS),
    );
    this.#drawTyping();
  }

  #endTyping(channelId, userId) {
    clearTimeout(this.#typing.get(`${channelId}/${userId}`));
    this.#typing.delete(`${channelId}/${userId}`);
    this.#drawTyping();
  }

  #drawTyping() {
    const { store } = this.chat;
    const users = [...this.#typing.keys()]
      .map((key) => key.split("/"))
      .filter(([channel]) => channel === this.#channel?.id);
    const names = users.map(([, id]) => store.nameOf(store.user(id) ?? { id })).join(", ");
    fill(
      this.typing,
      names && [
        el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i")),
        el("b", {}, names),
        users.length > 1 ? " are typing…" : " is typing…",
      ],
    );
  }
}
