/** What a viewer can do, in one place: every request to the stand-in starts here, and every refusal is put into words here. */

import { nestOptions } from "./command_catalog.js";
import { el } from "./dom.js";
import { openModal } from "./modal.js";
import { toast } from "./notices.js";
import { describeFailure } from "./refusals.js";

// The ok of a command and its message come separately; the waiting row stays until the message, but not for ever.
const ROW_GRACE = 600;

export class Chat {
  /** `views` gives panes and composer once they exist: {pane(channelId), openChannel(id), composer}. */
  constructor(store, socket, views) {
    this.store = store;
    this.socket = socket;
    this.views = views;
  }

  get composer() {
    return this.views.composer;
  }

  /**
   * Runs a chat command; resolves when it is settled. `form` is what was sent: {putBack(), drop()}, of which one is called in the
   * end: the first when it failed and the viewer wants to try again.
   */
  async slash(channelId, entry, options, form) {
    const row = this.views.pane(channelId).addLocal(entry.name);
    await this.#command(row, form, () =>
      this.socket.request("slash", {
        channel_id: channelId,
        command_id: entry.command.id,
        options: nestOptions(entry, options),
      }),
    );
  }

  async contextCommand(channelId, command, targetId) {
    const row = this.views.pane(channelId).addLocal(command.name);
    await this.#command(row, null, () =>
      this.socket.request("context_menu", {
        channel_id: channelId,
        command_id: command.id,
        target_id: targetId,
      }),
    );
  }

  async #command(row, form, request) {
    try {
      const answer = await request();
      form?.drop();
      if (answer.op === "modal") row.remove();
      else setTimeout(() => row.waits() && row.node.isConnected && row.remove(), ROW_GRACE);
      this.#openIfModal(answer);
    } catch (error) {
      row.fail(describeFailure(error), form);
    }
  }

  async click(message, customId) {
    this.#openIfModal(
      await this.socket.request("click", {
        channel_id: message.channel_id,
        message_id: message.id,
        custom_id: customId,
      }),
    );
  }

  async select(message, customId, values) {
    const fields = { channel_id: message.channel_id, message_id: message.id, custom_id: customId, values };
    this.#openIfModal(await this.socket.request("select", fields));
  }

  #openIfModal(answer) {
    if (answer.op === "modal") openModal(this, answer);
  }

  submit(interactionId, customId, components) {
    return this.socket.request("submit", { interaction_id: interactionId, custom_id: customId, components });
  }

  /** Choices for the focused option; none when the bot is silent, because typing goes on regardless. */
  async complete(channelId, entry, options) {
    try {
      const answer = await this.socket.request("complete", {
        channel_id: channelId,
        command_id: entry.command.id,
        options: nestOptions(entry, options),
      });
      return answer.choices ?? [];
    } catch {
      return [];
    }
  }

  say(channelId, content) {
    return this.socket.request("say", { channel_id: channelId, content });
  }

  async dismiss(message) {
    try {
      await this.socket.request("dismiss", { message_id: message.id });
      this.store.receive({ op: "message_delete", channel_id: message.channel_id, id: message.id });
    } catch (error) {
      toast(describeFailure(error));
    }
  }

  async actAs(userId) {
    try {
      await this.socket.request("act_as", { user_id: userId });
    } catch (error) {
      toast(describeFailure(error));
    }
  }

  async copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      toast(done);
    } catch {
      toast("The browser does not allow this page to copy.");
    }
  }

  async jumpTo(channelId, messageId) {
    this.views.openChannel(channelId);
    if (!(await this.views.pane(channelId)?.reveal(messageId)))
      toast("That message is not in this channel any more.");
  }

  mention(userId) {
    const user = this.store.user(userId);
    const mine = userId === this.store.me;
    return el(
      mine ? "span.mention.mention-me" : "span.mention",
      {},
      `@${user ? this.store.nameOf(user) : "unknown-user"}`,
    );
  }

  channelMention(channelId) {
    const channel = this.store.channels.get(channelId);
    if (!channel) return el("span.mention", {}, "#unknown");
    return el(
      "button.mention",
      { type: "button", on: { click: () => this.views.openChannel(channelId) } },
      `#${this.store.channelName(channel)}`,
    );
  }

  commandMention(path) {
    return el(
      "button.mention",
      { type: "button", on: { click: () => this.composer.fillIn(`/${path} `) } },
      `/${path}`,
    );
  }
}
