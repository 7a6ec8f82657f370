/** The left column: server, channels, direct message, and at the bottom whom the viewer acts as. On phones it is a drawer. */

import { avatar } from "./avatar.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { openMenu } from "./menu.js";

const TEXT_TYPES = new Set([0, 5, 15]);
const CATEGORY = 4;
const DIRECT = 1;

export class Sidebar {
  #rows = new Map();
  #drawn = null;

  constructor(node, shade, chat) {
    this.node = node;
    this.shade = shade;
    this.chat = chat;
    shade.addEventListener("click", () => this.closeDrawer());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.closeDrawer());
    // In a wide window the column is always there.
    matchMedia("(min-width: 761px)").addEventListener("change", () => this.closeDrawer());
    for (const event of ["hello", "channels", "unread", "presence"]) chat.store.on(event, () => this.draw());
  }

  /** Builds the column when what it lists changed; otherwise only touches the rows, so that a press is never lost. */
  draw() {
    const { store } = this.chat;
    if (!store.guild) return;
    const channels = [...store.channels.values()];
    const listed = JSON.stringify([
      store.me,
      store.guild,
      [...store.members.values()],
      channels.map(({ id, name, position, parent_id: parent }) => [id, name, position, parent]),
    ]);
    if (listed !== this.#drawn) {
      this.#drawn = listed;
      this.#build(channels);
    }
    for (const channel of channels) this.#update(channel);
  }

  #build(channels) {
    const { store } = this.chat;
    this.#rows.clear();
    const held = this.node.contains(document.activeElement) ? document.activeElement : null;
    const byPosition = (a, b) => (a.position ?? 0) - (b.position ?? 0) || a.name.localeCompare(b.name);
    const text = channels.filter((channel) => TEXT_TYPES.has(channel.type)).sort(byPosition);
    const categories = channels.filter((channel) => channel.type === CATEGORY).sort(byPosition);
    const groups = [
      {
        title: "Text channels",
        rows: text.filter((channel) => !categories.some((category) => category.id === channel.parent_id)),
      },
      ...categories.map((category) => ({
        title: category.name,
        rows: text.filter((channel) => channel.parent_id === category.id),
      })),
      { title: "Direct messages", rows: channels.filter((channel) => channel.type === DIRECT) },
    ];
    fill(
      this.node,
      el(
        "header.server",
        {},
        el(
          "span.server-mark",
          { "aria-hidden": "true", style: { "--mark": store.guild.icon_color ?? null } },
          store.guild.name.trim()[0]?.toUpperCase() ?? "?",
        ),
        el("h1.server-name", {}, store.guild.name),
        el(
          "button.icon-button.drawer-close",
          { type: "button", "aria-label": "Close the channel list", on: { click: () => this.closeDrawer() } },
          icon("close"),
        ),
      ),
      el(
        "div.channel-list",
        {},
        groups
          .filter((group) => group.rows.length)
          .map((group) => [
            el("h2.channel-group", {}, group.title),
            el(
              "ul",
              {},
              group.rows.map((channel) => el("li", {}, this.#row(channel))),
            ),
          ]),
      ),
      this.#switcher(),
    );
    if (held?.matches(".acting-button")) this.node.querySelector(".acting-button")?.focus();
    else if (held) this.#rows.get(held.dataset.channel)?.node.focus();
  }

  #row(channel) {
    const { store, views } = this.chat;
    const name = store.channelName(channel);
    const other =
      channel.type === DIRECT
        ? ((channel.recipients ?? []).find((user) => user.id !== store.me) ?? store.bot)
        : null;
    const face = other && el("span.channel-face", {}, avatar(other, name));
    const badge = el("span.badge", { hidden: true });
    const node = el(
      "button.channel",
      {
        type: "button",
        dataset: { channel: channel.id },
        on: { click: () => views.openChannel(channel.id) },
      },
      face ?? icon("hash"),
      el("span.channel-name", {}, name),
      other?.bot && el("span.tag", {}, "APP"),
      badge,
    );
    this.#rows.set(channel.id, { node, badge, face, other });
    return node;
  }

  #update(channel) {
    const { store, views } = this.chat;
    const row = this.#rows.get(channel.id);
    if (!row) return;
    const current = views.current === channel.id;
    const unread = store.unread.get(channel.id) ?? 0;
    row.node.classList.toggle("current", current);
    row.node.classList.toggle("unread", unread > 0);
    if (current) row.node.setAttribute("aria-current", "page");
    else row.node.removeAttribute("aria-current");
    row.badge.hidden = unread === 0;
    row.badge.textContent = unread > 99 ? "99+" : String(unread);
    row.badge.setAttribute("aria-label", `${unread} unread`);
    if (row.face) row.face.dataset.online = String(row.other.id !== store.bot?.id || store.botOnline);
  }

  #switcher() {
    const { store } = this.chat;
    const me = store.meMember;
    if (!me) return null;
    const name = store.nameOf(me.user);
    return el(
      "div.acting",
      {},
      el(
        "button.acting-button",
        {
          type: "button",
          "aria-haspopup": "menu",
          title: "Act as another member",
          on: { click: (event) => this.#openSwitcher(event.currentTarget) },
        },
        avatar(me.user, name),
        el(
          "span.acting-text",
          {},
          el("span.acting-label", {}, "Acting as"),
          el("span.acting-name", {}, name, me.admin && icon("crown")),
        ),
        icon("chevronDown"),
      ),
    );
  }

  #openSwitcher(anchor) {
    const { store } = this.chat;
    const items = [...store.members.values()]
      .filter(({ user }) => !user.bot)
      .map(({ user, admin }) => ({
        label: store.nameOf(user),
        detail: admin ? "Admin of this server" : "Member",
        icon: avatar(user, store.nameOf(user)),
        checked: user.id === store.me,
        action: () => user.id !== store.me && this.chat.actAs(user.id),
      }));
    openMenu(anchor, [{ heading: "Act as", items }], { side: "above", label: "Act as" });
  }

  openDrawer() {
    this.#showDrawer(true);
    this.node.querySelector(".channel.current")?.focus();
  }

  closeDrawer() {
    if (!this.node.classList.contains("open")) return;
    this.#showDrawer(false);
    document.querySelector(".drawer-open")?.focus();
  }

  /** What lies under the drawer can be neither pressed nor reached with the keyboard. */
  #showDrawer(open) {
    this.node.classList.toggle("open", open);
    this.shade.hidden = !open;
    for (const beneath of document.querySelectorAll(".main, .members, .skip")) beneath.inert = open;
    document.querySelector(".drawer-open")?.setAttribute("aria-expanded", String(open));
  }
}
