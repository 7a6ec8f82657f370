/** One option of a command in the message box: its pill, what may be typed, its suggestions and its check before sending. */

import { el, debounce, fill } from "./dom.js";
import { icon } from "./icons.js";
import { Listbox } from "./listbox.js";
import { describeUpload, upload } from "./uploads.js";

export const TYPES = {
  STRING: 3,
  INTEGER: 4,
  BOOLEAN: 5,
  USER: 6,
  CHANNEL: 7,
  ROLE: 8,
  MENTIONABLE: 9,
  NUMBER: 10,
  ATTACHMENT: 11,
};

const LONGEST_STRING = 6000;
const COMPLETE_DELAY = 250;
const MOST_SUGGESTIONS = 25;

/** Makes the field for an option; `form` is told about input, keys and focus, and asks the bot for suggestions. */
export function makeField(option, form) {
  return option.type === TYPES.ATTACHMENT ? new AttachmentField(option, form) : new TextField(option, form);
}

class TextField {
  #picked = null;
  #asked = 0;

  constructor(option, form) {
    this.option = option;
    this.form = form;
    this.choices = fixedChoices(option, form.chat.store);
    this.input = el("textarea", {
      rows: 1,
      cols: 1,
      "aria-label": `${option.name}${option.required ? ", required" : ""}: ${option.description ?? ""}`,
      autocomplete: "off",
      spellcheck: option.type === TYPES.STRING && !this.choices,
      inputMode:
        option.type === TYPES.INTEGER ? "numeric" : option.type === TYPES.NUMBER ? "decimal" : "text",
      enterKeyHint: "send",
    });
    this.grow = el("span.grow", {}, this.input);
    this.node = el(
      "label.pill",
      { dataset: { option: option.name } },
      el("span.pill-name", {}, option.name),
      this.grow,
    );
    if (this.choices || option.autocomplete) {
      this.list = new Listbox({
        label: `Values for ${option.name}`,
        owner: this.input,
        onPick: (item) => this.#pick(item),
      });
    }
    this.complete = debounce(COMPLETE_DELAY, () => this.#askBot());
    this.input.addEventListener("input", () => this.#typed());
    this.input.addEventListener("focus", () => {
      form.focused(this);
      this.#suggest();
    });
    this.input.addEventListener("blur", () => {
      this.list?.hide();
      this.complete.cancel();
      form.blurred(this);
    });
    this.input.addEventListener("keydown", (event) => this.list?.handleKey(event) || form.key(event, this));
  }

  get text() {
    return this.input.value.trim();
  }

  /** Text is always ready to be sent and holds nothing; see AttachmentField. */
  ready() {}

  release() {}

  setText(text) {
    this.input.value = oneLine(text);
    this.#picked = null;
    this.#resize();
  }

  focus() {
    this.input.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
  }

  get empty() {
    return !this.text;
  }

  /** The option as an interaction carries it; null when it is empty. */
  read() {
    const { name, type } = this.option;
    if (this.empty) return null;
    const choice = this.#chosen();
    if (choice) return { name, type, value: choice.value };
    const number = type === TYPES.INTEGER || type === TYPES.NUMBER;
    return { name, type, value: number ? Number(this.text) : this.text };
  }

  /** What is wrong with the value, in words; null when it can be sent. */
  problem() {
    const { name, type, required } = this.option;
    if (this.empty)
      return required ? `${name} is required. Please fill it in.` : null;
    if (this.choices)
      return this.#chosen()
        ? null
        : `${name} cannot be “${this.text}”. Choose ${listWords(this.choices.map((choice) => choice.title))}.`;
    if (this.#chosen()) return null;
    if (type === TYPES.INTEGER || type === TYPES.NUMBER) return this.#numberProblem();
    const length = [...this.text].length;
    const most = this.option.max_length ?? LONGEST_STRING;
    const least = this.option.min_length ?? 0;
    if (length > most)
      return `${name} has ${count(length)} characters; at most ${count(most)} are allowed. Please shorten it by ${count(length - most)}.`;
    return length < least
      ? `${name} has ${count(length)} characters; at least ${count(least)} are needed.`
      : null;
  }

  #numberProblem() {
    const { name, type, min_value: least, max_value: most } = this.option;
    const value = Number(this.text);
    const range = rangeText(least, most);
    if (!Number.isFinite(value))
      return `${name} must be a number${range && ` ${range}`}; “${this.text}” is none.`;
    if (type === TYPES.INTEGER && !Number.isSafeInteger(value))
      return `${name} must be a whole number${range && ` ${range}`}; it is ${this.text}.`;
    return (least !== undefined && value < least) || (most !== undefined && value > most)
      ? `${name} must be ${range}; it is ${this.text}.`
      : null;
  }

  #chosen() {
    if (this.#picked && this.#picked.title === this.text) return this.#picked;
    const wanted = this.text.toLowerCase();
    return this.choices?.find((choice) => choice.title.toLowerCase() === wanted) ?? null;
  }

  #typed() {
    const flat = oneLine(this.input.value);
    if (flat !== this.input.value) this.input.value = flat;
    this.#resize();
    this.#suggest();
    this.form.typed(this);
  }

  #resize() {
    this.grow.dataset.value = this.input.value;
  }

  #suggest() {
    if (this.choices) {
      const wanted = this.text.toLowerCase();
      const exact = this.choices.some((choice) => choice.title.toLowerCase() === wanted);
      const fitting = exact
        ? this.choices
        : this.choices.filter((choice) => choice.title.toLowerCase().includes(wanted));
      this.form.place(this.list);
      this.list.show(fitting.slice(0, MOST_SUGGESTIONS), {
        heading: this.option.name,
        empty: "No such value",
      });
    } else if (this.option.autocomplete) this.complete();
  }

  async #askBot() {
    this.#asked += 1;
    const asked = this.#asked;
    const choices = await this.form.suggestions(this);
    if (asked !== this.#asked || document.activeElement !== this.input) return;
    this.form.place(this.list);
    const items = choices
      .slice(0, MOST_SUGGESTIONS)
      .map((choice) => ({ title: choice.name, value: choice.value }));
    this.list.show(items, { heading: this.option.name, first: -1 });
  }

  #pick(item) {
    this.setText(item.title);
    this.#picked = item;
    this.list.hide();
    this.form.picked(this);
  }
}

class AttachmentField {
  #item = null;

  constructor(option, form) {
    this.option = option;
    this.form = form;
    this.picker = el("input.visually-hidden", { type: "file", tabIndex: -1, "aria-hidden": "true" });
    this.input = el(
      "button.pill-file",
      {
        type: "button",
        "aria-label": `${option.name}${option.required ? ", required" : ""}: choose a file`,
        on: { click: () => this.picker.click() },
      },
      icon("picture"),
      el("span", {}, "Choose, drop or paste a file"),
    );
    this.card = el("span.pill-card");
    this.node = el(
      "div.pill.pill-attachment",
      { dataset: { option: option.name } },
      el("span.pill-name", {}, option.name),
      this.input,
      this.card,
      this.picker,
    );
    this.picker.addEventListener("change", () => {
      if (this.picker.files[0]) this.setFile(this.picker.files[0]);
      this.picker.value = "";
    });
    this.input.addEventListener("focus", () => form.focused(this));
    this.input.addEventListener("blur", () => form.blurred(this));
    this.input.addEventListener("keydown", (event) =>
      event.key === "Enter" && this.empty ? null : form.key(event, this),
    );
  }

  /** A file cannot be written as text; a recalled command keeps the empty field as a reminder. */
  setText() {}

  get text() {
    return "";
  }

  focus() {
    this.input.focus();
  }

  get empty() {
    return this.#item === null;
  }

  setFile(file) {
    this.release();
    this.#item = upload(file, this.form.chat.store.uploadLimit, () => this.#draw());
    this.#draw();
    this.form.typed(this);
  }

  /** Resolves when no upload is in progress, also after the file was exchanged for another meanwhile. */
  async ready() {
    for (let waited = null; this.#item !== waited; ) {
      waited = this.#item;
      await waited?.done;
    }
  }

  release() {
    this.#item?.release();
    this.#item = null;
  }

  read() {
    return this.#item?.id ? { name: this.option.name, type: this.option.type, value: this.#item.id } : null;
  }

  problem() {
    if (this.empty)
      return this.option.required ? `${this.option.name} is required: choose, drop or paste a file.` : null;
    return this.#item.error;
  }

  #draw() {
    const remove = () => {
      this.release();
      this.#draw();
      this.focus();
    };
    this.input.hidden = !this.empty;
    fill(this.card, this.#item && describeUpload(this.#item, remove));
  }
}

/** Options hold one line; line breaks of a pasted text become spaces. */
const oneLine = (text) => text.replace(/\s*\n\s*/g, " ").replace(/^\s+/, "");

/** The values of an option that knows them all: its choices, yes and no, members, channels, roles. */
function fixedChoices(option, store) {
  const people = () =>
    [...store.members.values()].map(({ user }) => ({
      title: store.nameOf(user),
      detail: user.username,
      value: user.id,
    }));
  const roles = () => (store.guild?.roles ?? []).map((role) => ({ title: role.name, value: role.id }));
  if (option.choices?.length)
    return option.choices.map((choice) => ({ title: String(choice.name), value: choice.value }));
  if (option.type === TYPES.BOOLEAN)
    return ["True", "False"].map((title) => ({ title, value: title === "True" }));
  if (option.type === TYPES.USER) return people();
  if (option.type === TYPES.ROLE) return roles();
  if (option.type === TYPES.MENTIONABLE) return [...people(), ...roles()];
  if (option.type !== TYPES.CHANNEL) return null;
  const allowed = (channel) =>
    channel.type !== 1 && (!option.channel_types?.length || option.channel_types.includes(channel.type));
  return [...store.channels.values()]
    .filter(allowed)
    .map((channel) => ({ title: channel.name, value: channel.id }));
}

/** What an option takes, for the hint line: "up to 4,000 characters", "from 1 to 4". */
export function limitsText(option) {
  const { type, min_value: least, max_value: most, min_length: shortest, max_length: longest } = option;
  if (type === TYPES.INTEGER) return `a whole number ${rangeText(least, most)}`.trim();
  if (type === TYPES.NUMBER) return `a number ${rangeText(least, most)}`.trim();
  if (type !== TYPES.STRING || option.choices?.length) return "";
  if (shortest && longest && shortest > 1) return `${count(shortest)} to ${count(longest)} characters`;
  return longest ? `up to ${count(longest)} characters` : "";
}

function rangeText(least, most) {
  if (least !== undefined && most !== undefined) return `from ${count(least)} to ${count(most)}`;
  if (least !== undefined) return `of at least ${count(least)}`;
  return most !== undefined ? `of at most ${count(most)}` : "";
}

const count = (number) => number.toLocaleString("en");

function listWords(words) {
  const shown = words.slice(0, 8);
  if (words.length > shown.length) return `one of ${shown.join(", ")} or ${words.length - shown.length} more`;
  return shown.length > 1 ? `${shown.slice(0, -1).join(", ")} or ${shown.at(-1)}` : shown.join("");
}
