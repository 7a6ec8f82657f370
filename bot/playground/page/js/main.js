/** The page's start: joins store, socket and views, and decides which channel is shown. */

import { ChannelPane } from "./channel.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { Members } from "./members.js";
import { messagePlace, plainText } from "./markdown.js";
import { Notices } from "./notices.js";
import { Sidebar } from "./sidebar.js";
import { Socket } from "./socket.js";
import { Store } from "./store.js";
import { keepStampsCurrent } from "./time.js";

const app = document.getElementById("app");
const header = document.getElementById("channel-header");
const panesNode = document.getElementById("panes");

const dialogOpen = () => document.querySelector("dialog[open]") !== null;

let freshConnection = false;
const store = new Store();
const panes = new Map();
const socket = new Socket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/page/socket`, {
  onFrame: receive,
  onState: (state) => {
    freshConnection = state === "open";
    app.dataset.state = state === "open" ? "open" : "closed";
    notices.connection(state);
  },
});
const views = { current: null, pane, openChannel, composer: null };
const chat = new Chat(store, socket, views);
const notices = new Notices(document.getElementById("notices"), store, () => socket.connect());
const sidebar = new Sidebar(
  document.getElementById("sidebar"),
  document.getElementById("drawer-shade"),
  chat,
);
new Members(document.getElementById("members"), chat);
views.composer = new Composer(document.getElementById("composer"), chat);

/** A new connection begins as the first member; this tab goes back to the one it was acting as before showing anything. */
function receive(frame) {
  const wanted = sessionStorage.getItem("member");
  if (frame.op === "hello" && freshConnection) {
    freshConnection = false;
    if (wanted && wanted !== frame.me && frame.members.some(({ user }) => user.id === wanted)) {
      chat.actAs(wanted);
      return;
    }
  }
  store.receive(frame);
}

function pane(channelId) {
  const channel = store.channels.get(channelId);
  if (!channel) return undefined;
  if (!panes.has(channelId)) {
    const made = new ChannelPane(chat, channel);
    panes.set(channelId, made);
    panesNode.append(made.node);
  }
  return panes.get(channelId);
}

function openChannel(channelId) {
  const channel = store.channels.get(channelId);
  if (!channel) return;
  const changed = views.current !== channelId;
  views.current = channelId;
  sessionStorage.setItem("channel", channelId);
  pane(channelId);
  for (const [id, other] of panes) other.visible = id === channelId;
  store.setUnread(channelId, 0);
  drawHeader(channel);
  views.composer.show(channel, `${store.me}/${channelId}`);
  sidebar.draw();
  sidebar.closeDrawer();
  // On a phone, focus would open the keyboard over the channel that was just chosen.
  if (changed && matchMedia("(hover: hover)").matches) views.composer.focus();
}

function drawHeader(channel) {
  const name = store.channelName(channel);
  const direct = channel.type === 1;
  fill(
    header,
    el(
      "button.icon-button.drawer-open",
      {
        type: "button",
        "aria-label": "Show the channel list",
        "aria-controls": "sidebar",
        "aria-expanded": "false",
        on: { click: () => sidebar.openDrawer() },
      },
      icon("menu"),
    ),
    icon(direct ? "at" : "hash"),
    el("h2.channel-title", {}, name),
    channel.nsfw && el("span.tag.tag-quiet", {}, "18+"),
    channel.topic &&
      el("span.channel-topic", { title: plainText(channel.topic, chat) }, plainText(channel.topic, chat)),
  );
  drawTitle();
}

function drawTitle() {
  const channel = store.channels.get(views.current);
  if (!channel) return;
  const unread = [...store.unread.values()].reduce((sum, count) => sum + count, 0);
  const name = `${channel.type === 1 ? "@" : "#"}${store.channelName(channel)}`;
  document.title = `${unread ? `(${unread}) ` : ""}${name} – ${store.guild.name}`;
}

store.on("unread", drawTitle);

store.on("hello", ({ sameViewer }) => {
  if (sameViewer) {
    for (const [id, known] of panes) {
      if (store.channels.has(id)) known.refresh();
      else {
        known.node.remove();
        panes.delete(id);
      }
    }
  } else {
    // Another member sees other private messages and another direct channel, so nothing drawn is kept.
    for (const known of panes.values()) known.node.remove();
    panes.clear();
  }
  sessionStorage.setItem("member", store.me);
  document.documentElement.classList.add("ready");
  notices.draw();
  openFirst();
});

function openFirst() {
  const linked = messagePlace(new URL(location.href));
  if (linked && store.channels.has(linked.channelId)) {
    history.replaceState(null, "", "/");
    chat.jumpTo(linked.channelId, linked.messageId);
    return;
  }
  const remembered = views.current ?? sessionStorage.getItem("channel");
  const text = [...store.channels.values()]
    .filter((channel) => channel.type === 0)
    .sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
  openChannel(store.channels.has(remembered) ? remembered : (text[0] ?? [...store.channels.values()][0])?.id);
}

store.on("presence", () => notices.draw());
store.on("commands", () => panes.forEach((known) => known.layout()));
store.on("channels", () => views.current && openChannel(views.current));
store.on("message_create", (message) => {
  const known = panes.get(message.channel_id);
  known?.created(message);
  const seen = known?.visible && known.atBottom && !document.hidden;
  if (!seen && message.author.id !== store.me)
    store.setUnread(message.channel_id, (store.unread.get(message.channel_id) ?? 0) + 1);
});
store.on("overdue", (id) => panes.forEach((known) => known.overdue(id)));
store.on("message_update", (message) => panes.get(message.channel_id)?.updated(message));
store.on("message_delete", ({ channel_id: id }) => panes.get(id)?.deleted());

document.addEventListener("visibilitychange", () => {
  const current = panes.get(views.current);
  if (!document.hidden && current?.atBottom) store.setUnread(views.current, 0);
});

window.addEventListener("hashchange", () => {
  const place = messagePlace(new URL(location.href));
  if (!place) return;
  history.replaceState(null, "", "/");
  chat.jumpTo(place.channelId, place.messageId);
});

// Typing anywhere goes into the message box, as in every chat; a space still presses or scrolls what has the focus.
document.addEventListener("keydown", (event) => {
  const focused = document.activeElement ?? document.body;
  if (focused.matches("input, textarea")) return;
  if (event.key === " " && focused.matches("button, a, [role=button], .pane-scroller")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
  if (document.querySelector("dialog[open], .popover")) return;
  views.composer.focus();
});

document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  if (!dialogOpen()) app.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => !event.relatedTarget && app.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  app.classList.remove("dropping");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  // A form in front takes its own files; what is behind it must not change unseen.
  if (!dialogOpen()) views.composer.acceptFiles(event.dataTransfer.files);
});

keepStampsCurrent();
socket.connect();
