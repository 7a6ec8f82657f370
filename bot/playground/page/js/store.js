/** What the page knows, as Discord objects: one snapshot per hello, then kept current by events. */

import { compareIds } from "./time.js";

export const PAGE_OF_MESSAGES = 50;

/** Bits of message.flags that this page reads. */
export const FLAGS = { SUPPRESS_EMBEDS: 1 << 2, EPHEMERAL: 1 << 6, LOADING: 1 << 7, COMPONENTS_V2: 1 << 15 };

export class Store {
  me = null;
  bot = null;
  guild = null;
  members = new Map();
  channels = new Map();
  commands = [];
  botOnline = false;
  botSeen = false;
  uploadLimit = 10 * 1024 * 1024;
  unread = new Map();
  #messages = new Map();
  #listeners = new Map();

  /** Calls `listener(detail)` at each event: hello, presence, commands, channels, unread, typing, overdue (a message whose answer never came), message_create/update/delete. */
  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, []);
    this.#listeners.get(event).push(listener);
  }

  #emit(event, detail) {
    for (const listener of this.#listeners.get(event) ?? []) listener(detail);
  }

  /** Applies a frame of the server. */
  receive(frame) {
    if (frame.op === "hello") this.#hello(frame);
    else if (frame.op === "message_create" || frame.op === "message_update")
      this.#put(frame.message, frame.op);
    else if (frame.op === "message_delete") this.#delete(frame);
    else if (frame.op === "commands") {
      this.commands = frame.commands;
      this.#emit("commands");
    } else if (frame.op === "presence") {
      this.botOnline = frame.bot_online;
      this.botSeen = true;
      this.#emit("presence");
    } else if (frame.op === "failed") this.#emit("overdue", frame.message_id);
    else if (frame.op === "typing") this.#emit("typing", frame);
    else if (frame.op === "channel_create") {
      this.channels.set(frame.channel.id, frame.channel);
      this.#messages.set(frame.channel.id, this.#messages.get(frame.channel.id) ?? []);
      this.#emit("channels");
    }
  }

  #hello(frame) {
    const sameViewer = this.me === frame.me;
    this.me = frame.me;
    this.bot = frame.bot;
    this.guild = frame.guild;
    this.members = new Map(frame.members.map((member) => [member.user.id, member]));
    this.channels = new Map(frame.channels.map((channel) => [channel.id, channel]));
    this.commands = frame.commands;
    this.botOnline = frame.bot_online;
    this.botSeen ||= frame.bot_online || frame.commands.length > 0;
    this.uploadLimit = frame.upload_limit ?? this.uploadLimit;
    const before = sameViewer ? this.#messages : new Map();
    this.#messages = new Map();
    for (const id of this.channels.keys()) {
      const newest = [...(frame.messages?.[id] ?? [])].sort((a, b) => compareIds(a.id, b.id));
      this.#messages.set(id, [...olderThan(newest, before.get(id) ?? []), ...newest]);
    }
    if (!sameViewer) this.unread.clear();
    this.#emit("hello", { sameViewer });
  }

  #put(message, event) {
    const list = this.messagesOf(message.channel_id);
    const index = list.findIndex((known) => known.id === message.id);
    if (index >= 0) {
      list[index] = { ...list[index], ...message };
      this.#emit("message_update", list[index]);
      return;
    }
    if (event === "message_update") return;
    insertSorted(list, message);
    this.#emit("message_create", message);
  }

  #delete({ channel_id, id }) {
    const list = this.messagesOf(channel_id);
    const index = list.findIndex((known) => known.id === id);
    if (index < 0) return;
    list.splice(index, 1);
    this.#emit("message_delete", { channel_id, id });
  }

  /** Adds a page of older messages, oldest first; returns those that were new. */
  addOlder(channelId, messages) {
    const list = this.messagesOf(channelId);
    const known = new Set(list.map((message) => message.id));
    const fresh = messages.filter((message) => !known.has(message.id));
    for (const message of fresh) insertSorted(list, message);
    return fresh;
  }

  messagesOf(channelId) {
    if (!this.#messages.has(channelId)) this.#messages.set(channelId, []);
    return this.#messages.get(channelId);
  }

  message(channelId, id) {
    return this.messagesOf(channelId).find((message) => message.id === id);
  }

  /** Counts a message in a channel nobody looks at; zero clears. */
  setUnread(channelId, count) {
    if ((this.unread.get(channelId) ?? 0) === count) return;
    this.unread.set(channelId, count);
    this.#emit("unread");
  }

  get meMember() {
    return this.members.get(this.me);
  }

  /** What to call a user in the server: nickname, display name, then user name. */
  nameOf(user) {
    const member = this.members.get(user.id);
    return member?.nick || user.global_name || member?.user.global_name || user.username || "Unknown user";
  }

  /** The colour of a member's name, or null. */
  colorOf(user) {
    return this.members.get(user.id)?.color ?? null;
  }

  user(id) {
    return id === this.bot?.id ? this.bot : this.members.get(id)?.user;
  }

  /** "#general", or the other person's name for a direct message. */
  channelName(channel) {
    if (channel.type !== 1) return channel.name;
    const other = (channel.recipients ?? []).find((user) => user.id !== this.me) ?? this.bot;
    return this.nameOf(other);
  }
}

/** After a reconnect: older pages that were loaded stay, if they join the newest page without a gap. */
function olderThan(newest, known) {
  const joint =
    newest.length >= PAGE_OF_MESSAGES ? known.findIndex((message) => message.id === newest[0].id) : -1;
  return known.slice(0, Math.max(joint, 0));
}

function insertSorted(list, message) {
  let index = list.length;
  while (index > 0 && compareIds(list[index - 1].id, message.id) > 0) index -= 1;
  list.splice(index, 0, message);
}
