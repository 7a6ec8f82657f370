/** A chosen command in the message box: its options as pills, the hint line above them, and the check before sending. */

import { splitOptions, writeCommand } from "./command_text.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { TYPES, limitsText, makeField } from "./option_field.js";

export class CommandForm {
  #fields = new Map();
  #current = null;

  /** `hooks`: {submit(), cancel(text), changed(), place(listbox)} of the composer. */
  constructor(chat, channelId, entry, hooks) {
    this.chat = chat;
    this.channelId = channelId;
    this.entry = entry;
    this.hooks = hooks;
    this.pills = el("div.pills");
    this.hint = el("div.command-hint");
    this.problems = el("div.command-problem", { role: "alert" });
    this.node = el(
      "div.command-form",
      { role: "group", "aria-label": `Command /${entry.name}` },
      el("span.command-name", {}, `/${entry.name}`),
      this.pills,
    );
    for (const option of entry.options.filter((known) => known.required)) this.add(option);
    this.#drawHint();
  }

  /** Adds an option's pill, at the place the command lists it; gives its field. */
  add(option) {
    const known = this.#fields.get(option.name);
    if (known) return known;
    const field = makeField(option, this);
    const order = this.entry.options.map((other) => other.name);
    const after = [...this.#fields.values()].find(
      (other) => order.indexOf(other.option.name) > order.indexOf(option.name),
    );
    this.pills.insertBefore(field.node, after?.node ?? null);
    this.#fields.set(option.name, field);
    this.#drawHint();
    this.hooks.changed();
    return field;
  }

  /** Fills in from text: `prompt: a boat image: …`, or bare text for the first text option. */
  setText(rest) {
    for (const [name, text] of splitOptions(rest, this.entry.options)) {
      this.add(this.entry.options.find((option) => option.name === name)).setText(text);
    }
    this.hooks.changed();
  }

  /** The command as text for the history and for going back to plain typing. */
  get text() {
    return writeCommand(
      this.entry,
      new Map(
        this.#ordered()
          .filter((field) => !field.empty && field.text)
          .map((field) => [field.option.name, field.text]),
      ),
    );
  }

  get empty() {
    return this.#ordered().every((field) => field.empty);
  }

  /** Puts the cursor where typing goes on: the first required empty field, else the last one. */
  focus() {
    const fields = this.#ordered();
    const field =
      fields.find((other) => other.option.required && other.empty) ??
      fields.find((other) => other.option.type !== TYPES.ATTACHMENT) ??
      fields[0];
    if (field) field.focus();
    else this.fallback?.focus();
  }

  /** Checks everything, waits for uploads, and gives the options; null when something has to be mended first. */
  async collect() {
    await Promise.all(this.#ordered().map((field) => field.ready()));
    const wrong = this.#ordered().map((field) => ({ field, problem: field.problem() }));
    for (const { field, problem } of wrong) field.node.classList.toggle("invalid", Boolean(problem));
    const found = wrong.filter(({ problem }) => problem);
    fill(
      this.problems,
      found.map(({ problem }) => el("div", {}, problem)),
    );
    if (!found.length)
      return this.#ordered()
        .map((field) => field.read())
        .filter(Boolean);
    found[0].field.focus();
    return null;
  }

  /** Gives a file to the first attachment option without one; false when the command takes none. */
  acceptFile(file) {
    const option = this.entry.options.find(
      (known) => known.type === TYPES.ATTACHMENT && (this.#fields.get(known.name)?.empty ?? true),
    );
    if (!option) return false;
    this.add(option).setFile(file);
    return true;
  }

  /** Lets go of its files, once nobody will send the form again. */
  release() {
    for (const field of this.#fields.values()) field.release();
  }

  // What fields tell the form.

  focused(field) {
    this.#current = field;
    this.node.classList.add("active");
    this.#drawHint();
  }

  blurred() {
    this.node.classList.remove("active");
  }

  place(listbox) {
    this.hooks.place(listbox);
  }

  picked(field) {
    field.node.classList.remove("invalid");
    this.hooks.changed();
    const fields = this.#ordered();
    fields
      .slice(fields.indexOf(field) + 1)
      .find((other) => other.empty)
      ?.focus();
  }

  suggestions(field) {
    const options = this.#ordered()
      .map((other) =>
        other === field
          ? { name: field.option.name, type: field.option.type, value: field.text, focused: true }
          : other.read(),
      )
      .filter(Boolean);
    return this.chat.complete(this.channelId, this.entry, options);
  }

  /** `prompt:` typed inside the pill means the pill itself; another option's name moves on to that option. */
  typed(field) {
    field.node.classList.remove("invalid");
    fill(this.problems);
    const text = field.input.value;
    if (typeof text === "string" && field.option.type !== TYPES.ATTACHMENT) this.#readNames(field, text);
    this.hooks.changed();
  }

  #readNames(field, text) {
    const whole = `/${this.entry.name} `;
    if (text.startsWith(whole) && field === this.#ordered()[0]) {
      field.setText("");
      this.setText(text.slice(whole.length));
      this.focus();
      return;
    }
    const own = `${field.option.name}:`;
    if (text.toLowerCase().startsWith(own)) {
      field.setText(text.slice(own.length).trimStart());
      return;
    }
    const named = /(?:^|\s)([-_\p{L}\p{N}]{1,32}):$/u.exec(text);
    const option = named && this.entry.options.find((other) => other.name === named[1].toLowerCase());
    if (
      !option ||
      (this.#fields.get(option.name) && !this.#fields.get(option.name).empty) ||
      option === field.option
    )
      return;
    field.setText(text.slice(0, named.index).trimEnd());
    this.add(option).focus();
  }

  key(event, field) {
    if (event.isComposing) return;
    const fields = this.#ordered();
    const at = fields.indexOf(field);
    const { selectionStart: start = 0, selectionEnd: end = 0, value = "" } = field.input;
    const first = start === 0 && end === 0;
    if (event.key === "Enter") this.hooks.submit();
    else if (event.key === "Backspace" && field.empty && first) this.#back(field, at);
    else if (event.key === "ArrowLeft" && first && at > 0) fields[at - 1].focus();
    else if (event.key === "ArrowRight" && end === value.length && start === end && at < fields.length - 1)
      fields[at + 1].focus();
    else return;
    event.preventDefault();
  }

  /** Backspace in an empty pill takes an optional one away, and leaves the command at the first. */
  #back(field, at) {
    if (!field.option.required) {
      field.node.remove();
      this.#fields.delete(field.option.name);
      this.#drawHint();
      this.hooks.changed();
      const before = this.#ordered()[Math.max(0, at - 1)];
      if (before) before.focus();
      else this.hooks.cancel(`/${this.entry.name}`);
    } else if (at === 0) this.hooks.cancel(`/${this.entry.name}`);
    else this.#ordered()[at - 1].focus();
  }

  #ordered() {
    const order = this.entry.options.map((option) => option.name);
    return [...this.#fields.values()].sort(
      (a, b) => order.indexOf(a.option.name) - order.indexOf(b.option.name),
    );
  }

  #drawHint() {
    const option = this.#current && this.#fields.has(this.#current.option.name) ? this.#current.option : null;
    const limits = option && limitsText(option);
    const about = option
      ? [
          el("b", {}, option.name),
          option.required
            ? el("span.required-mark", {}, "required")
            : el("span.optional-mark", {}, "optional"),
          option.description,
          limits && el("span.limits", {}, limits),
        ]
      : [el("b", {}, `/${this.entry.name}`), this.entry.description];
    const missing = this.entry.options.filter((other) => !this.#fields.has(other.name));
    const chips = missing.map((other) =>
      el(
        "button.option-chip",
        {
          type: "button",
          title: other.description ?? "",
          "aria-label": `Add option ${other.name}: ${other.description ?? ""}`,
          on: { pointerdown: (event) => event.preventDefault(), click: () => this.add(other).focus() },
        },
        icon("plus"),
        other.name,
      ),
    );
    fill(this.hint, el("div.hint-text", {}, about), chips.length > 0 && el("div.option-chips", {}, chips));
  }
}
