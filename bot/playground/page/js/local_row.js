/** What the viewer's own command looks like until the bot's answer is there, or when none came. */

import { avatar } from "./avatar.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { ephemeralFoot, thinking, usedLine } from "./message.js";

/** A row at the end of the channel that only this viewer sees and the server does not know. */
export class LocalRow {
  /** `command` is the name without slash; `onEnd()` runs when the row is gone. */
  constructor(chat, command, onEnd) {
    this.command = command;
    this.onEnd = onEnd;
    const { bot, meMember } = chat.store;
    const name = chat.store.nameOf(bot);
    this.body = el("div.message-content", {}, thinking("Sending command…"));
    this.foot = el("div.message-foot");
    this.node = el(
      "li.message.local",
      {},
      el("div.message-context", {}, usedLine(chat, meMember.user, command)),
      el("div.message-side", {}, avatar(bot, name)),
      el(
        "div.message-main",
        {},
        el("div.message-head", {}, el("span.author", {}, name), el("span.tag", {}, "APP")),
        this.body,
        this.foot,
      ),
    );
  }

  /** Whether this row stands for a command of that name (undefined: any) that has not failed. */
  waits(command) {
    return !this.node.classList.contains("ephemeral") && (command === undefined || command === this.command);
  }

  /** Shows why nothing came; `form` (or null): {putBack(): back into the message box, drop(): nobody wants it any more}. */
  fail(reason, form) {
    this.node.classList.add("ephemeral");
    const end = (action) => () => {
      this.remove();
      action?.();
    };
    fill(
      this.body,
      el("div.failure-note", { role: "alert" }, icon("warning"), el("span", {}, reason)),
      form &&
        el(
          "button.text-link",
          { type: "button", on: { click: end(form.putBack) } },
          "Put the command back into the message box",
        ),
    );
    fill(
      this.foot,
      ephemeralFoot(end(form?.drop)),
    );
  }

  remove() {
    this.node.remove();
    this.onEnd();
  }
}
