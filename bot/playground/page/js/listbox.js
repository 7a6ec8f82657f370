/** A list to pick from with arrows, Enter, Tab or a click; the field that owns it keeps the keyboard focus (ARIA combobox). */

import { el, fill, freshId } from "./dom.js";

export class Listbox {
  items = [];
  active = -1;

  /** `onPick(item)` is called with one of the given items; `owner` is the text field, or null. */
  constructor({ label, owner = null, onPick }) {
    this.onPick = onPick;
    this.owner = owner;
    this.node = el("div.listbox", {
      role: "listbox",
      id: freshId("list"),
      "aria-label": label,
      hidden: true,
    });
    // The pointer must not take the focus from the field, or the list would close before the click arrives.
    this.node.addEventListener("pointerdown", (event) => event.preventDefault());
    if (owner) {
      owner.setAttribute("role", "combobox");
      owner.setAttribute("aria-autocomplete", "list");
      owner.setAttribute("aria-expanded", "false");
      owner.setAttribute("aria-controls", this.node.id);
    }
  }

  get open() {
    return !this.node.hidden;
  }

  /** `items`: [{title, nodes?, detail?, aside?, icon?}]; `first` is the active index (−1: none until an arrow is pressed). */
  show(items, { heading = null, empty = null, first = 0 } = {}) {
    this.items = items;
    this.active = items.length ? Math.min(first, items.length - 1) : -1;
    const options = items.map((item, index) =>
      el(
        "div.listbox-option",
        {
          role: "option",
          id: `${this.node.id}-${index}`,
          on: { click: () => this.pick(index), pointermove: () => this.#activate(index, false) },
        },
        item.icon,
        el(
          "div.listbox-text",
          {},
          el("div.listbox-title", {}, item.nodes ?? item.title),
          item.detail && el("div.listbox-detail", {}, item.detail),
        ),
        item.aside && el("div.listbox-aside", {}, item.aside),
      ),
    );
    fill(
      this.node,
      heading && el("div.listbox-heading", { role: "presentation" }, heading),
      options,
      !items.length && empty && el("div.listbox-empty", { role: "presentation" }, empty),
    );
    this.node.hidden = !items.length && !empty;
    this.owner?.setAttribute("aria-expanded", String(this.open));
    this.#mark();
  }

  hide() {
    this.node.hidden = true;
    this.items = [];
    this.active = -1;
    this.owner?.setAttribute("aria-expanded", "false");
    this.owner?.removeAttribute("aria-activedescendant");
  }

  pick(index = this.active) {
    const item = this.items[index];
    if (item) this.onPick(item);
  }

  /** Handles a keydown of the owner; true when the key was used up. */
  handleKey(event) {
    if (!this.open || event.isComposing) return false;
    if (event.key === "ArrowDown") this.#activate((this.active + 1) % this.items.length);
    else if (event.key === "ArrowUp")
      this.#activate((this.active - 1 + this.items.length) % this.items.length);
    else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey && this.active >= 0)
      this.pick();
    else if (event.key === "Escape") this.hide();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  #activate(index, scroll = true) {
    if (!this.items.length || this.active === index) return;
    this.active = index;
    this.#mark(scroll);
  }

  #mark(scroll = true) {
    const options = this.node.querySelectorAll("[role=option]");
    options.forEach((option, index) => option.setAttribute("aria-selected", String(index === this.active)));
    const current = options[this.active];
    if (current) this.owner?.setAttribute("aria-activedescendant", current.id);
    else this.owner?.removeAttribute("aria-activedescendant");
    if (scroll) current?.scrollIntoView({ block: "nearest" });
  }
}
