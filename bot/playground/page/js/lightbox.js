/** The large view of a message's pictures: a modal dialog, so focus stays inside and Esc closes it. */

import { el, fill } from "./dom.js";
import { rememberFocus } from "./focus.js";
import { icon } from "./icons.js";

/** Opens on `media[index]`; arrows and swipes go round; focus returns to `opener`. */
export function openLightbox(media, index, opener) {
  let at = index;
  const giveFocusBack = rememberFocus(opener);
  const picture = el("img.lightbox-picture", { alt: "" });
  const caption = el("figcaption.lightbox-caption", { "aria-live": "polite" });
  const original = el(
    "a.lightbox-link",
    { target: "_blank", rel: "noopener noreferrer" },
    "Open original",
    icon("external"),
  );
  const close = el(
    "button.lightbox-button.lightbox-close",
    { type: "button", "aria-label": "Close", title: "Close (Esc)" },
    icon("close"),
  );
  const several = media.length > 1;
  const back =
    several &&
    el(
      "button.lightbox-button.lightbox-back",
      { type: "button", "aria-label": "Previous picture" },
      icon("chevronLeft"),
    );
  const next =
    several &&
    el(
      "button.lightbox-button.lightbox-next",
      { type: "button", "aria-label": "Next picture" },
      icon("chevronRight"),
    );
  const figure = el("figure.lightbox-figure", {}, picture, el("div.lightbox-foot", {}, caption, original));
  const dialog = el("dialog.lightbox", { "aria-label": "Picture" }, figure, back, next, close);

  const show = (step) => {
    at = (at + step + media.length) % media.length;
    const { url, alt, width, height } = media[at];
    picture.src = url;
    picture.alt = alt;
    // Small pictures are enlarged up to twice, so that a 512-pixel grid is worth opening.
    picture.style.setProperty("--natural", width > 0 ? `${width * 2}px` : "none");
    picture.style.setProperty("--ratio", width > 0 && height > 0 ? String(width / height) : "auto");
    fill(caption, several ? `${at + 1} of ${media.length} · ` : null, alt);
    original.href = url;
  };

  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" && several) show(1);
    else if (event.key === "ArrowLeft" && several) show(-1);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    if (!event.target.closest("button, a")) dialog.close();
  });
  close.addEventListener("click", () => dialog.close());
  if (several) {
    back.addEventListener("click", () => show(-1));
    next.addEventListener("click", () => show(1));
    swipe(figure, show);
  }
  dialog.addEventListener("close", () => {
    dialog.remove();
    giveFocusBack();
  });
  document.body.append(dialog);
  show(0);
  dialog.showModal();
  close.focus();
}

function swipe(node, show) {
  let start = null;
  node.addEventListener("touchstart", (event) => (start = event.touches[0].clientX), { passive: true });
  node.addEventListener("touchend", (event) => {
    const moved = event.changedTouches[0].clientX - start;
    if (Math.abs(moved) > 50) show(moved < 0 ? 1 : -1);
  });
}
