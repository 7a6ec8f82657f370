/** Discord's markdown subset → DOM nodes. Anything not understood stays text. */

import { el } from "./dom.js";
import { stampElement } from "./time.js";

/** Renders a message's text. `chat` answers names, channels, commands and jumps. */
export function markdown(text, chat) {
  const root = document.createDocumentFragment();
  root.append(...blocks(text.replace(/\r\n?/g, "\n"), chat, 0));
  return root;
}

/** One line without any markup, for reply lines and alt texts. */
export function plainText(text, chat) {
  const holder = el("div");
  holder.append(markdown(text, chat));
  for (const block of holder.querySelectorAll("div, li, pre, blockquote, br")) {
    block.before(" ");
    block.after(" ");
  }
  return holder.textContent.replace(/\s+/g, " ").trim();
}

const MAX_DEPTH = 12;

/** Splits text into code blocks, headings, quotes, lists and plain runs of lines. */
function blocks(text, chat, depth) {
  const nodes = [];
  let rest = text;
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(...inline(plain, chat, depth));
    plain = "";
  };
  // A block element brings its own line break, so the newline in front of it and behind it is dropped.
  const block = (node) => {
    plain = plain.replace(/\n$/, "");
    flush();
    nodes.push(node);
  };
  let lineStart = true;
  while (rest) {
    const fence = /^```(?:([\w+.#-]{1,20})\n)?([^]*?)```\n?/.exec(rest);
    if (fence && fence[2].trim()) {
      const code = fence[2].replace(/^\n+|\n+$/g, "");
      block(
        el(
          "pre.code-block",
          { tabIndex: 0 },
          el("code", { dataset: { language: fence[1] ?? "" } }, code),
        ),
      );
      rest = rest.slice(fence[0].length);
      lineStart = true;
      continue;
    }
    if (lineStart && depth < MAX_DEPTH) {
      const made = lineBlock(rest, chat, depth);
      if (made) {
        block(made.node);
        rest = rest.slice(made.length);
        continue;
      }
    }
    // Plain text runs to the end of the line, or to a code block that opens within the line.
    const code = rest.indexOf("```", 1);
    const newline = rest.indexOf("\n");
    let end = newline < 0 ? rest.length : newline + 1;
    if (code > 0 && code < end) end = code;
    plain += rest.slice(0, end);
    lineStart = rest[end - 1] === "\n";
    rest = rest.slice(end);
  }
  flush();
  return nodes;
}

/** A block that begins at the start of a line: {node, length of source}, or null. */
function lineBlock(rest, chat, depth) {
  const heading = /^(#{1,3})\s+(\S[^\n]*)(?:\n|$)/.exec(rest);
  if (heading) {
    // Levels 1–3 of a message sit below the page's own headings, hence aria-level instead of h1–h3.
    const properties = { role: "heading", "aria-level": String(heading[1].length + 2) };
    return {
      node: el(`div.heading.heading-${heading[1].length}`, properties, inline(heading[2], chat, depth + 1)),
      length: heading[0].length,
    };
  }
  const subtext = /^-#\s+(\S[^\n]*)(?:\n|$)/.exec(rest);
  if (subtext)
    return { node: el("div.subtext", {}, inline(subtext[1], chat, depth + 1)), length: subtext[0].length };
  const longQuote = /^>>>\s+([^]+)$/.exec(rest);
  if (longQuote) return { node: quote(longQuote[1], chat, depth), length: rest.length };
  const lines = /^(?:> [^\n]*(?:\n|$))+/.exec(rest);
  if (lines)
    return {
      node: quote(lines[0].replace(/^> /gm, "").replace(/\n$/, ""), chat, depth),
      length: lines[0].length,
    };
  const list =
    /^(?: {0,1}(?:[-*]|\d{1,9}\.) +\S[^\n]*(?:\n|$))(?: *(?:[-*]|\d{1,9}\.) +\S[^\n]*(?:\n|$)| {2,}\S[^\n]*(?:\n|$))*/.exec(
      rest,
    );
  if (list)
    return { node: listBlocks(list[0].replace(/\n$/, "").split("\n"), chat, depth), length: list[0].length };
  return null;
}

function quote(text, chat, depth) {
  return el("blockquote.quote", {}, blocks(text, chat, depth + 1));
}

/** One list, or several where bullets and numbers alternate. */
function listBlocks(lines, chat, depth) {
  const runs = [];
  const base = /^ */.exec(lines[0])[0].length;
  for (const line of lines) {
    const kind = /^ *\d/.test(line) ? "ol" : "ul";
    const deeper = /^ */.exec(line)[0].length > base;
    if (!runs.length || (!deeper && runs.at(-1).kind !== kind)) runs.push({ kind, lines: [] });
    runs.at(-1).lines.push(line);
  }
  const lists = runs.map((run) => listBlock(run.lines, chat, depth));
  return lists.length === 1 ? lists[0] : el("div", {}, lists);
}

/** Builds nested lists from lines, by their indentation. */
function listBlock(lines, chat, depth) {
  const items = lines.map((line) => /^( *)(?:([-*])|(\d+)\.)? *(.*)$/.exec(line));
  const base = items[0][1].length;
  const ordered = items[0][3] !== undefined;
  const list = el(ordered ? "ol.list" : "ul.list", ordered ? { start: Number(items[0][3]) } : {});
  let index = 0;
  while (index < items.length) {
    const item = el("li", {}, inline(items[index][4], chat, depth + 1));
    const inner = [];
    index += 1;
    while (index < items.length && items[index][1].length > base) {
      inner.push(lines[index]);
      index += 1;
    }
    const nested = inner.length && /^ *(?:[-*]|\d+\.) /.test(inner[0]);
    if (nested && depth < MAX_DEPTH) item.append(listBlocks(inner, chat, depth + 1));
    else for (const line of inner) item.append(el("br"), ...inline(line.trim(), chat, depth + 1));
    list.append(item);
  }
  return list;
}

/**
 * The inline rules, tried in this order at each position. A rule's pattern is sticky; its maker returns a node, or null
 * to let the next rule try.
 */
const RULES = [
  [/\\([^A-Za-z0-9\s])/y, (m) => document.createTextNode(m[1])],
  [/(`+)([^`](?:[^]*?[^`])?)\1(?!`)/y, (m) => el("code.inline-code", {}, m[2].replace(/^ (.*) $/, "$1"))],
  [/<t:(-?\d{1,17})(?::([tTdDfFR]))?>/y, (m) => stampElement(Number(m[1]), m[2] ?? "f")],
  [/<@!?(\d{15,21})>/y, (m, chat) => chat.mention(m[1])],
  [/<#(\d{15,21})>/y, (m, chat) => chat.channelMention(m[1])],
  [/<@&(\d{15,21})>/y, () => el("span.mention", {}, "@role")],
  [/<\/([-_\p{L}\p{N} ]{1,100}):(\d{1,21})>/uy, (m, chat) => chat.commandMention(m[1], m[2])],
  [/<a?:(\w{2,32}):\d{15,21}>/y, (m) => document.createTextNode(`:${m[1]}:`)],
  [/@(?:everyone|here)\b/y, (m) => el("span.mention", {}, m[0])],
  [
    /\[((?:[^[\]\\]|\\.|\[[^\]]*\]){1,500})\]\(<?(https?:\/\/[^\s)>]+)>?(?: "[^"]*")?\)/y,
    (m, chat, depth) => link(m[2], inline(m[1], chat, depth + 1), chat),
  ],
  [/<(https?:\/\/[^\s<>]+)>/y, (m, chat) => link(m[1], m[1], chat)],
  [/https?:\/\/[^\s<>"']+/y, (m, chat) => bareLink(m[0], chat)],
  [
    /\*\*\*(\S(?:[^]*?\S)?)\*\*\*(?!\*)/y,
    (m, chat, depth) => el("strong", {}, el("em", {}, inline(m[1], chat, depth + 1))),
  ],
  [/\*\*((?:\\.|[^\\])+?)\*\*(?!\*)/suy, (m, chat, depth) => el("strong", {}, inline(m[1], chat, depth + 1))],
  [/__((?:\\.|[^\\])+?)__(?!_)/suy, (m, chat, depth) => el("u", {}, inline(m[1], chat, depth + 1))],
  [
    /\*((?=\S)(?:\*\*(?:\\.|[^*\\]|\*(?!\*))+\*\*|\\.|[^*\\])+?)(?<!\s)\*(?!\*)/suy,
    (m, chat, depth) => el("em", {}, inline(m[1], chat, depth + 1)),
  ],
  [
    /(?<!\w)_((?:__|\\.|[^_\\])+?)_(?!\w)/suy,
    (m, chat, depth) => el("em", {}, inline(m[1], chat, depth + 1)),
  ],
  [/~~((?:\\.|[^\\])+?)~~/suy, (m, chat, depth) => el("s", {}, inline(m[1], chat, depth + 1))],
  [/\|\|((?:\\.|[^\\])+?)\|\|/suy, (m, chat, depth) => spoiler(inline(m[1], chat, depth + 1))],
];

function inline(text, chat, depth) {
  if (depth > MAX_DEPTH) return [document.createTextNode(text)];
  const nodes = [];
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) nodes.push(document.createTextNode(plain));
    plain = "";
  };
  scan: while (at < text.length) {
    if (SPECIAL.has(text[at])) {
      for (const [pattern, make] of RULES) {
        pattern.lastIndex = at;
        const match = pattern.exec(text);
        if (!match) continue;
        const node = make(match, chat, depth);
        if (!node) continue;
        flush();
        nodes.push(node);
        at = match.index + (node.consumed ?? match[0].length);
        continue scan;
      }
    }
    plain += text[at];
    at += 1;
  }
  flush();
  return nodes;
}

// Only at these characters can a rule begin; everything else is copied without trying.
const SPECIAL = new Set(["\\", "`", "<", "@", "[", "h", "*", "_", "~", "|"]);

/** A bare address; a closing bracket or full stop after it belongs to the sentence. */
function bareLink(source, chat) {
  let address = source.replace(/[.,:;!?*_~|'"]+$/, "");
  while (address.endsWith(")") && !balanced(address)) address = address.slice(0, -1);
  const node = link(address, address, chat);
  if (node) node.consumed = address.length;
  return node;
}

const balanced = (text) => text.split("(").length >= text.split(")").length;

/** A link to the outside opens in a new tab; a link to a message of this server jumps there. Only http and https pass. */
export function link(address, content, chat) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  const place = messagePlace(url);
  if (place && chat.store.channels.has(place.channelId)) {
    const channel = chat.store.channels.get(place.channelId);
    const whole = content === address;
    return el(
      "a.jump",
      {
        href: `#/channels/${place.guildId}/${place.channelId}/${place.messageId}`,
        on: { click: (event) => jump(event, place, chat) },
      },
      whole
        ? [
            `${channel.type === 1 ? "@" : "#"}${chat.store.channelName(channel)}`,
            el("span.jump-arrow", {}, " › "),
            "message",
          ]
        : content,
    );
  }
  return el(
    "a",
    {
      href: url.href,
      target: "_blank",
      rel: "noopener noreferrer",
      title: content === address ? null : url.href,
    },
    content,
  );
}

/** The message that a `/channels/guild/channel/message` address names (of this page or of discord.com), or null. */
export function messagePlace(url) {
  if (url.origin !== location.origin && !/(^|\.)discord(app)?\.com$/.test(url.hostname)) return null;
  const path = url.hash.startsWith("#/channels/") ? url.hash.slice(1) : url.pathname;
  const match = /^\/channels\/(@me|\d+)\/(\d+)\/(\d+)\/?$/.exec(path);
  return match && { guildId: match[1], channelId: match[2], messageId: match[3] };
}

function jump(event, place, chat) {
  event.preventDefault();
  chat.jumpTo(place.channelId, place.messageId);
}

function spoiler(children) {
  const show = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    if (node.classList.contains("shown")) return;
    event.preventDefault();
    node.classList.add("shown");
    node.removeAttribute("role");
    node.removeAttribute("tabindex");
    node.removeAttribute("aria-label");
    node.firstChild.inert = false;
  };
  const properties = {
    role: "button",
    tabIndex: 0,
    "aria-label": "Spoiler: press to show",
    on: { click: show, keydown: show },
  };
  const node = el("span.spoiler", properties, el("span", { inert: true }, children));
  return node;
}
