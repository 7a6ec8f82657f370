/** Quiet notices: short toasts, and the bar over the messages about the connection and the bot. */

import { el, fill } from "./dom.js";
import { icon } from "./icons.js";

const TOAST_MS = 4000;

/** A sentence at the bottom that leaves by itself. */
export function toast(text) {
  const node = el("div.toast", {}, text);
  document.getElementById("toasts").append(node);
  setTimeout(() => {
    node.classList.add("leaving");
    setTimeout(() => node.remove(), 300);
  }, TOAST_MS);
}

/** The bar: at most one line about the connection and one about the bot. */
export class Notices {
  #timer = 0;
  #connection = null;

  constructor(node, store, retry) {
    this.node = node;
    this.store = store;
    this.retry = retry;
  }

  /** `state`: "open", "refused" or {retryAt, failures}. */
  connection(state) {
    this.#connection = state;
    clearInterval(this.#timer);
    if (state.retryAt) this.#timer = setInterval(() => this.draw(), 1000);
    this.draw();
  }

  draw() {
    const lines = [this.#connectionLine()];
    if (this.#connection === "open" && this.store.bot && !this.store.botOnline) {
      const name = this.store.nameOf(this.store.bot);
      const text = this.store.botSeen
        ? " is offline right now. Its commands work again as soon as it is back."
        : " is starting…";
      lines.push(
        el(
          "div.notice",
          {},
          el("span.presence-dot", { "aria-hidden": "true" }),
          el(
            "span",
            {},
            el("b", {}, name),
            text,
          ),
        ),
      );
    }
    // Redrawing only what changed keeps screen readers from repeating the sentence every second.
    const shown = lines.map((line) => line?.textContent ?? "").join("\n");
    if (shown === this.shown) return;
    this.shown = shown;
    fill(this.node, lines);
  }

  #connectionLine() {
    const state = this.#connection;
    if (state === "refused") {
      return el(
        "div.notice.notice-strong",
        { role: "alert" },
        icon("warning"),
        el(
          "span",
          {},
          "This tab’s address is no longer valid. Open the address that ",
          el("code", {}, "fourfold play"),
          " printed when it started.",
        ),
      );
    }
    // The first drop is usually over before anybody could read about it.
    if (!state?.retryAt || (state.failures < 2 && this.store.me)) return null;
    const seconds = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    const wait = seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…";
    return el(
      "div.notice",
      {},
      icon("warning"),
      el(
        "span",
        {},
        "Fourfold has stopped or cannot be reached. Start it again with ",
        el("code", {}, "fourfold play"),
        `. ${wait}`,
      ),
      el("button.text-link", { type: "button", on: { click: this.retry } }, "Try now"),
    );
  }
}
