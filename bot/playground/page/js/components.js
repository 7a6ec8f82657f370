/** Message components: buttons and selects in rows, and the Components V2 layout kinds. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { markdown } from "./markdown.js";
import { mediaOf, mosaic } from "./pictures.js";
import { Select, emojiText } from "./select.js";

const LINK = 5;
const STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link", 6: "secondary" };

/**
 * Draws a list of components. `host`: {chat, pictures, busy: Set of custom_ids that wait for the bot, press(component),
 * choose(component, values), chosen: Map of custom_id
 * → values}; unknown kinds are left out, as a client that is older than the API does.
 */
export function renderComponents(components, host, path = "c") {
  return components.map(
    (component, index) => KINDS[component.type]?.(component, host, `${path}.${index}`) ?? null,
  );
}

const KINDS = {
  1: (row, host, path) =>
    el("div.action-row", { role: "group" }, renderComponents(row.components, host, path)),
  2: button,
  3: select,
  5: select,
  6: select,
  7: select,
  8: select,
  9: (section, host, path) =>
    el(
      "div.section",
      {},
      el("div.section-texts", {}, renderComponents(section.components, host, path)),
      el("div.section-accessory", {}, renderComponents([section.accessory], host, `${path}.accessory`)),
    ),
  10: (display, host) => el("div.text-display.markup", {}, markdown(display.content, host.chat)),
  11: (thumbnail, host, path) => {
    const picture = host.pictures.get(path, "thumbnail");
    const media = mediaOf(thumbnail.media, { alt: thumbnail.description, spoiler: thumbnail.spoiler });
    picture.update(media, () => [media]);
    return picture.node;
  },
  12: (gallery, host, path) =>
    mosaic(
      gallery.items.map((item) => mediaOf(item.media, { alt: item.description, spoiler: item.spoiler })),
      host.pictures,
      path,
    ),
  13: (file) =>
    fileCard({
      filename: file.name,
      size: file.size,
      url: file.file.url,
    }),
  14: (separator) =>
    el(`div.separator.separator-${separator.spacing === 2 ? "large" : "small"}`, {
      role: separator.divider === false ? "presentation" : "separator",
      dataset: { line: String(separator.divider !== false) },
    }),
  17: (container, host, path) => {
    const color = container.accent_color;
    const node = el("div.container", {}, renderComponents(container.components, host, path));
    if (color !== null && color !== undefined)
      node.style.setProperty("--accent", `#${color.toString(16).padStart(6, "0")}`);
    return container.spoiler ? covered(node) : node;
  },
};

function button(component, host) {
  const busy = host.busy.has(component.custom_id);
  const content = [
    component.emoji && el("span.button-emoji", {}, emojiText(component.emoji).trim()),
    component.label && el("span", {}, component.label),
  ];
  const style = STYLES[component.style] ?? "secondary";
  if (component.style === LINK) {
    const safe = /^https?:\/\//.test(component.url ?? "");
    return el(
      `a.button.button-${style}`,
      safe && !component.disabled
        ? { href: component.url, target: "_blank", rel: "noopener noreferrer" }
        : { "aria-disabled": "true", role: "link" },
      content,
      icon("external"),
    );
  }
  return el(
    `button.button.button-${style}`,
    {
      type: "button",
      disabled: Boolean(component.disabled),
      "aria-busy": busy ? "true" : null,
      dataset: { customId: component.custom_id ?? "" },
      on: { click: () => !host.busy.has(component.custom_id) && host.press(component) },
    },
    content,
    busy &&
      el("span.dots", { "aria-label": "waiting for an answer", role: "img" }, el("i"), el("i"), el("i")),
  );
}

function select(component, host) {
  const made = new Select(
    component,
    host.chat,
    (values) => host.choose(component, values),
    host.chosen.get(component.custom_id),
  );
  if (host.busy.has(component.custom_id)) {
    made.node.setAttribute("aria-busy", "true");
  }
  return made.node;
}

/** A file that is no picture: its name as a link, and its size. */
export function fileCard({ filename, size, url }) {
  return el(
    "div.file-card",
    {},
    icon("file"),
    el(
      "div.file-text",
      {},
      el("a.file-name", { href: url, target: "_blank", rel: "noopener noreferrer" }, filename),
      size && el("div.file-size", {}, sizeText(size)),
    ),
  );
}

/** Bytes as people read them: "812 B", "34.1 KB", "10 MB". */
export function sizeText(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${trim(bytes / 1024)} KB`;
  return `${trim(bytes / 1024 / 1024)} MB`;
}

const trim = (number) => number.toFixed(1).replace(/\.0$/, "");

function covered(node) {
  const holder = el("div.container-cover");
  const show = () => {
    holder.classList.add("shown");
    reveal.remove();
    node.inert = false;
  };
  const reveal = el("button.cover-button", { type: "button", on: { click: show } }, "Spoiler");
  node.inert = true;
  holder.append(node, reveal);
  return holder;
}
