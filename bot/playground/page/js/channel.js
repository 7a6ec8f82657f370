/** One channel's messages: order, grouping, day lines, loading older ones, and a scroll position that never jumps by itself. */

import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { LocalRow } from "./local_row.js";
import { MessageView } from "./message.js";
import { PAGE_OF_MESSAGES } from "./store.js";
import { compareIds, day, sameDay } from "./time.js";
import { welcome } from "./welcome.js";

const GROUP_MS = 7 * 60 * 1000;
const NEAR_BOTTOM = 30;
const LOAD_AHEAD = 800;
const REPLACE_MS = 150;
const MOST_PAGES_FOR_A_JUMP = 40;

export class ChannelPane {
  #views = new Map();
  #dividers = new Map();
  #locals = [];
  #anchor = "bottom";
  #loading = null;
  #missed = 0;
  #settled = 0;

  constructor(chat, channel) {
    this.chat = chat;
    this.channel = channel;
    this.more = chat.store.messagesOf(channel.id).length >= PAGE_OF_MESSAGES;
    this.top = el("div.pane-top");
    this.list = el("ol.messages", { "aria-label": `Messages in ${chat.store.channelName(channel)}` });
    this.body = el("div.pane-body", { role: "log", "aria-relevant": "additions" }, this.top, this.list);
    this.scroller = el(
      "div.pane-scroller",
      { tabIndex: 0, role: "region", "aria-label": "Messages" },
      this.body,
    );
    this.present = el("button.present", {
      type: "button",
      hidden: true,
      on: { click: () => this.toPresent() },
    });
    this.node = el(
      "section.pane",
      { hidden: true, dataset: { channel: channel.id } },
      this.scroller,
      this.present,
    );
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const observer = new ResizeObserver(() => this.#restore());
    observer.observe(this.body);
    observer.observe(this.scroller);
    this.layout();
  }

  /** Draws what the store holds now: new views, changed order, groups, day lines. */
  layout() {
    const messages = this.chat.store.messagesOf(this.channel.id);
    const known = new Set(messages.map((message) => message.id));
    for (const [id, view] of this.#views) if (!known.has(id)) this.#drop(id, view);
    const days = new Set();
    let cursor = this.list.firstChild;
    let before = null;
    const place = (node) => {
      if (node === cursor) cursor = cursor.nextSibling;
      else this.list.insertBefore(node, cursor);
    };
    for (const message of messages) {
      let view = this.#views.get(message.id);
      if (!view) this.#views.set(message.id, (view = new MessageView(this.chat, message)));
      const date = new Date(message.timestamp);
      const newDay = !before || !sameDay(date, new Date(before.message.timestamp));
      if (newDay && (before || !this.more)) {
        days.add(message.id);
        place(this.#divider(message.id, date));
      }
      place(view.node);
      view.grouped = !newDay && continues(before, view);
      before = view;
    }
    for (const [id, node] of this.#dividers) {
      if (days.has(id)) continue;
      node.remove();
      this.#dividers.delete(id);
    }
    for (const row of this.#locals) this.list.append(row.node);
    this.#drawTop(messages.length === 0);
    this.#restore();
  }

  created(message) {
    const asked = message.interaction_metadata;
    if (asked?.user.id === this.chat.store.me)
      this.#locals.find((row) => row.waits(message.interaction?.name ?? asked.name))?.remove();
    if (message.author.id === this.chat.store.me) this.#anchor = "bottom";
    this.layout();
    if (this.#anchor === "bottom") return;
    this.#missed += 1;
    this.#drawPresent();
  }

  updated(message) {
    this.#views.get(message.id)?.update(message);
  }

  /** A promised answer did not come. */
  overdue(id) {
    this.#views.get(id)?.fail();
  }

  /** The row goes a moment later: where a new message takes its place, both happen in one step and nothing sinks. */
  deleted() {
    setTimeout(() => this.layout(), REPLACE_MS);
  }

  /** After a reconnect or a change of what is known: every view shows the newest state. */
  refresh() {
    const messages = this.chat.store.messagesOf(this.channel.id);
    const sameStart = messages.length > PAGE_OF_MESSAGES;
    this.more = messages.length >= PAGE_OF_MESSAGES && (this.more || !sameStart);
    for (const message of messages) this.#views.get(message.id)?.update(message);
    this.layout();
  }

  /** A row for a command that was just sent. */
  addLocal(command) {
    const row = new LocalRow(this.chat, command, () => {
      this.#locals = this.#locals.filter((other) => other !== row);
    });
    this.#locals.push(row);
    this.#anchor = "bottom";
    this.layout();
    return row;
  }

  get visible() {
    return !this.node.hidden;
  }

  set visible(visible) {
    this.node.hidden = !visible;
    if (visible) this.#restore();
  }

  get atBottom() {
    return this.#anchor === "bottom";
  }

  toPresent() {
    this.#anchor = "bottom";
    this.#missed = 0;
    this.#restore();
    this.#drawPresent();
    this.chat.composer.focus();
  }

  /** Shows a message, loading older pages until it is there; false when the channel does not have it. */
  async reveal(id) {
    for (let page = 0; !this.#views.has(id) && this.more && page < MOST_PAGES_FOR_A_JUMP; page += 1) {
      const oldest = this.chat.store.messagesOf(this.channel.id)[0];
      if (!oldest || compareIds(oldest.id, id) < 0) break;
      await this.#loadOlder();
    }
    const view = this.#views.get(id);
    if (!view) return false;
    view.node.scrollIntoView({ block: "center" });
    this.#scrolled();
    view.flash();
    return true;
  }

  #drop(id, view) {
    const held = view.node.contains(document.activeElement);
    view.node.remove();
    this.#views.delete(id);
    // The arrows go on scrolling, and typing goes into the message box.
    if (held) this.scroller.focus({ preventScroll: true });
  }

  #divider(id, date) {
    if (!this.#dividers.has(id))
      this.#dividers.set(
        id,
        el("li.day", { role: "separator", "aria-label": day(date) }, el("span", {}, day(date))),
      );
    return this.#dividers.get(id);
  }

  #drawTop(empty) {
    const state = this.more
      ? "more"
      : `welcome ${empty} ${this.chat.store.commands.map((command) => command.name)} ${this.chat.store.channelName(this.channel)}`;
    if (this.top.dataset.state === state) return;
    this.top.dataset.state = state;
    fill(
      this.top,
      this.more
        ? el("div.older", {}, el("span.spinner", { "aria-hidden": "true" }), "Loading older messages…")
        : welcome(this.chat, this.channel, empty),
    );
  }

  #drawPresent() {
    const hidden =
      this.#anchor === "bottom" || (!this.#missed && this.#distance() < this.scroller.clientHeight * 1.5);
    this.present.hidden = hidden;
    if (hidden) return;
    const news = this.#missed
      ? `${this.#missed} new message${this.#missed === 1 ? "" : "s"}`
      : "You’re viewing older messages";
    fill(
      this.present,
      el("span", {}, news),
      el("span.present-jump", {}, "Jump to present", icon("arrowDown")),
    );
  }

  #distance() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }

  #scrolled() {
    if (!this.visible || !this.scroller.clientHeight) return;
    // The event of the page's own scrolling arrives a frame late, when an edit may already have made a message taller:
    // only a position that the reader chose says what the reader looks at.
    const own =
      this.#anchor === "bottom"
        ? this.scroller.scrollTop >= this.#settled - 1
        : Math.abs(this.scroller.scrollTop - this.#settled) < 1;
    if (!own) this.#remember();
    if (this.#anchor === "bottom") {
      this.#missed = 0;
      this.chat.store.setUnread(this.channel.id, 0);
    }
    this.#drawPresent();
    if (this.more && this.scroller.scrollTop < LOAD_AHEAD) this.#loadOlder();
  }

  /** Notes what the reader looks at: the bottom, or the first message whose end is in view and how far from the edge it is. */
  #remember() {
    if (this.#distance() < NEAR_BOTTOM) {
      this.#anchor = "bottom";
      return;
    }
    const edge = this.scroller.getBoundingClientRect().top;
    const rows = this.list.children;
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].getBoundingClientRect().bottom > edge) high = middle;
      else low = middle + 1;
    }
    this.#anchor = rows[low]
      ? { node: rows[low], top: rows[low].getBoundingClientRect().top - edge }
      : "bottom";
  }

  /** Puts the scroll position back to what #remember noted, after anything above or below changed its height. */
  #restore() {
    if (!this.visible) return;
    if (this.#anchor !== "bottom" && this.#anchor.node.isConnected) {
      const edge = this.scroller.getBoundingClientRect().top;
      this.scroller.scrollTop += this.#anchor.node.getBoundingClientRect().top - edge - this.#anchor.top;
    } else if (this.#anchor === "bottom") this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.#remember();
    this.#settled = this.scroller.scrollTop;
    if (this.more && this.scroller.scrollTop < LOAD_AHEAD) this.#loadOlder();
  }

  #loadOlder() {
    this.#loading ??= this.#fetchOlder().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #fetchOlder() {
    const { store, socket } = this.chat;
    const oldest = store.messagesOf(this.channel.id)[0];
    if (!oldest) {
      this.more = false;
      return;
    }
    let frame;
    try {
      frame = await socket.request("older", { channel_id: this.channel.id, before: oldest.id });
    } catch {
      // A lost connection brings a new hello, and scrolling asks again; there is nothing to say to the reader.
      return;
    }
    store.addOlder(this.channel.id, frame.messages);
    this.more = Boolean(frame.more) && frame.messages.length > 0;
    this.layout();
  }
}

/** Whether a message belongs to the block of the one above it. */
function continues(before, view) {
  if (!before || view.hasContext) return false;
  const [a, b] = [before.message, view.message];
  const close = new Date(b.timestamp) - new Date(a.timestamp) < GROUP_MS;
  return close && a.author.id === b.author.id && ((a.flags ?? 0) & 64) === ((b.flags ?? 0) & 64);
}
