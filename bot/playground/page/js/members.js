/** The right column on wide windows: who is in the server, with the bot under its own heading. */

import { avatar } from "./avatar.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { openMenu } from "./menu.js";

export class Members {
  constructor(node, chat) {
    this.node = node;
    this.chat = chat;
    for (const event of ["hello", "presence"]) chat.store.on(event, () => this.draw());
  }

  draw() {
    const { store } = this.chat;
    const people = [...store.members.values()].filter(({ user }) => !user.bot);
    const groups = [
      ["Moderators", people.filter(({ admin }) => admin).map(({ user }) => user)],
      ["Members", people.filter(({ admin }) => !admin).map(({ user }) => user)],
      ["Apps", store.bot ? [store.bot] : []],
    ];
    fill(
      this.node,
      groups
        .filter(([, users]) => users.length)
        .map(([title, users]) => [
          el("h2.member-group", {}, `${title} — ${users.length}`),
          el(
            "ul",
            {},
            users.map((user) => el("li", {}, this.#row(user))),
          ),
        ]),
    );
  }

  #row(user) {
    const { store } = this.chat;
    const name = store.nameOf(user);
    const offline = user.bot && !store.botOnline;
    return el(
      offline ? "button.member.member-offline" : "button.member",
      {
        type: "button",
        "aria-haspopup": "menu",
        on: { click: (event) => this.#menu(event.currentTarget, user) },
      },
      avatar(user, name),
      el("span.member-name", { style: { "--name": store.colorOf(user) } }, name),
      user.bot && el("span.tag", {}, "APP"),
      user.id === store.me && el("span.member-you", {}, "you"),
    );
  }

  #menu(anchor, user) {
    const { store } = this.chat;
    const name = store.nameOf(user);
    const items = [
      !user.bot &&
        user.id !== store.me && {
          label: `Act as ${name}`,
          icon: icon("at"),
          action: () => this.chat.actAs(user.id),
        },
      { label: "Mention", icon: icon("at"), action: () => this.chat.composer.insert(`<@${user.id}> `) },
      { label: "Copy user ID", icon: icon("copy"), action: () => this.chat.copy(user.id, "ID copied") },
    ];
    openMenu(anchor, [{ items: items.filter(Boolean) }], { label: `Actions for ${name}` });
  }
}
