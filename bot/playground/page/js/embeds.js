/** Rich embeds: author, title, description, fields, pictures, footer, with the coloured edge. */

import { el } from "./dom.js";
import { link, markdown } from "./markdown.js";
import { mediaOf } from "./pictures.js";
import { messageTime } from "./time.js";

/** Draws one embed; `slot` names its pictures in the message's PictureCache. */
export function renderEmbed(embed, chat, pictures, slot) {
  const text = (value) => markdown(value, chat);
  const picture = (source, fit, name) => {
    const made = pictures.get(`${slot}:${name}`, fit);
    const media = mediaOf(source, { alt: embed.title ? `Picture of ${embed.title}` : "embedded picture" });
    made.update(media, () => [media]);
    return made.node;
  };
  const title = embed.title && (embed.url ? link(embed.url, [text(embed.title)], chat) : text(embed.title));
  const footer = [embed.footer?.text, embed.timestamp && messageTime(new Date(embed.timestamp))]
    .filter(Boolean)
    .join(" • ");
  const node = el(
    "article.embed",
    { "aria-label": embed.title || "Embed" },
    el(
      "div.embed-body",
      {},
      embed.author?.name &&
        el(
          "div.embed-author",
          {},
          embed.author.url ? link(embed.author.url, embed.author.name, chat) : embed.author.name,
        ),
      title && el("div.embed-title.markup", {}, title),
      embed.description && el("div.embed-description.markup", {}, text(embed.description)),
      embed.fields?.length &&
        el(
          "dl.embed-fields",
          {},
          embed.fields.map((field) =>
            el(
              field.inline ? "div.embed-field.embed-field-inline" : "div.embed-field",
              {},
              el("dt", {}, text(field.name)),
              el("dd.markup", {}, text(field.value)),
            ),
          ),
        ),
    ),
    embed.thumbnail?.url && el("div.embed-thumbnail", {}, picture(embed.thumbnail, "thumbnail", "thumbnail")),
    embed.image?.url && el("div.embed-image", {}, picture(embed.image, "single", "image")),
    footer && el("div.embed-footer", {}, footer),
  );
  if (embed.color) node.style.setProperty("--accent", `#${embed.color.toString(16).padStart(6, "0")}`);
  return node;
}
