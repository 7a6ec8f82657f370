/** Pictures in messages: room is reserved before they load, and an edit swaps them only once the new one is decoded. */

import { el } from "./dom.js";
import { openLightbox } from "./lightbox.js";

const MAX_WIDTH = 550;
const MAX_HEIGHT = 480;

/** Whether an attachment is shown as a picture. */
export function isPicture(attachment) {
  return (
    /^image\/(png|jpe?g|webp|gif|avif|apng)/.test(attachment.content_type ?? "") ||
    (!attachment.content_type && Boolean(attachment.width))
  );
}

/**
 * One picture of a message as a button that opens the lightbox. It outlives edits of its message: `update` keeps the old
 * pixels and the old size until the new file is decoded, so nothing flashes and nothing jumps.
 */
export class Picture {
  #shown = null;
  #wanted = null;

  /** `fit` is "single" (own proportions, bounded), "cell" (fills a cell of a mosaic) or "thumbnail". */
  constructor(fit) {
    this.fit = fit;
    this.image = el("img", { draggable: false, decoding: "async" });
    this.node = el(`button.picture.picture-${fit}`, { type: "button" }, this.image);
    this.node.addEventListener("click", () => this.#click());
  }

  /** `media`: {url, width, height, alt, spoiler}; `siblings()` gives all pictures of the lightbox, this one among them. */
  update(media, siblings) {
    this.media = media;
    this.siblings = siblings;
    this.image.alt = media.alt;
    this.node.setAttribute(
      "aria-label",
      media.spoiler ? `Hidden picture: ${media.alt}` : `Open picture: ${media.alt}`,
    );
    this.node.classList.toggle("covered", Boolean(media.spoiler) && !this.uncovered);
    const key = fileOf(media.url);
    if (key === this.#wanted) return;
    this.#wanted = key;
    if (this.#shown === null) {
      this.#shown = key;
      this.#size(media);
      this.node.classList.add("loading");
      this.image.addEventListener("load", () => this.node.classList.remove("loading", "broken"), {
        once: true,
      });
      this.image.addEventListener("error", () => this.#broken(key));
      this.image.src = media.url;
    } else this.#swap(media, key);
  }

  async #swap(media, key) {
    const next = new Image();
    next.src = media.url;
    try {
      await next.decode();
    } catch {
      if (this.#wanted === key) this.#broken(key);
      return;
    }
    if (this.#wanted !== key) return;
    this.#shown = key;
    this.node.classList.remove("loading", "broken");
    // The decoded element itself takes the old one's place: assigning its address to the old one would decode it again.
    next.alt = this.image.alt;
    next.draggable = false;
    this.image.replaceWith(next);
    this.image = next;
    this.#size(media);
  }

  #size({ width, height }) {
    if (this.fit !== "single") return;
    const known = width > 0 && height > 0;
    const ratio = known ? width / height : 4 / 3;
    const widest = Math.min(known ? width : 400, MAX_WIDTH, MAX_HEIGHT * ratio);
    this.node.style.setProperty("--ratio", String(ratio));
    this.node.style.setProperty("--width", `${Math.max(Math.round(widest), 32)}px`);
  }

  #broken(key) {
    if (this.#wanted !== key) return;
    this.node.classList.remove("loading");
    this.node.classList.add("broken");
  }

  #click() {
    if (this.node.classList.contains("covered")) {
      this.uncovered = true;
      this.node.classList.remove("covered");
      this.node.setAttribute("aria-label", `Open picture: ${this.media.alt}`);
      return;
    }
    const all = this.siblings();
    openLightbox(
      all,
      Math.max(
        0,
        all.findIndex((media) => fileOf(media.url) === fileOf(this.media.url)),
      ),
      this.node,
    );
  }
}

/** Addresses are signed anew each time they are sent; the file is the same while the path is. */
function fileOf(address) {
  try {
    return new URL(address, location.href).pathname;
  } catch {
    return address;
  }
}

/** The pictures of one message by slot, so that a redrawn gallery or embed gets its living elements back. */
export class PictureCache {
  #pictures = new Map();

  get(slot, fit) {
    const key = `${slot}/${fit}`;
    if (!this.#pictures.has(key)) this.#pictures.set(key, new Picture(fit));
    return this.#pictures.get(key);
  }
}

/** What a lightbox needs to know of an attachment, embed image or gallery item. */
export function mediaOf(source, { alt, spoiler = false } = {}) {
  return {
    url: source.url || source.proxy_url,
    width: source.width ?? 0,
    height: source.height ?? 0,
    alt: alt || source.description || source.filename || "picture",
    name: source.filename ?? "",
    spoiler,
  };
}

/** 1–10 pictures: one keeps its proportions, several share a mosaic of square-ish cells like Discord's. */
export function mosaic(media, cache, slot) {
  const siblings = () => media;
  if (media.length === 1) {
    const picture = cache.get(`${slot}:only`, "single");
    picture.update(media[0], siblings);
    return el("div.mosaic.mosaic-1", {}, picture.node);
  }
  const cells = media.map((item, index) => {
    const picture = cache.get(`${slot}:${index}`, "cell");
    picture.update(item, siblings);
    return picture.node;
  });
  return el(
    `div.mosaic.mosaic-${media.length}`,
    { role: "group", "aria-label": `${media.length} pictures` },
    cells,
  );
}
