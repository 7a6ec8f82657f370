/** Small things that float beside what opened them: placed inside the window, closed by Esc, a press elsewhere or a resize. */

const GAP = 6;
const MARGIN = 8;

/**
 * Shows `node` beside `anchor` (an element, or {x, y}) and returns a function that closes it.
 * `side` is where it goes if there is room: "below" or "above"; `onClose` runs once.
 */
export function openPopover(node, anchor, { side = "below", matchWidth = false, onClose = () => {} } = {}) {
  const box =
    anchor instanceof Element ? anchor.getBoundingClientRect() : new DOMRect(anchor.x, anchor.y, 0, 0);
  // A popover opened from a modal dialog has to live inside it, because everything outside is inert.
  const home = (anchor instanceof Element && anchor.closest("dialog")) || document.body;
  node.classList.add("popover");
  if (matchWidth) node.style.setProperty("width", `${box.width}px`);
  home.append(node);

  const below = innerHeight - box.bottom - GAP - MARGIN;
  const above = box.top - GAP - MARGIN;
  const wanted = node.offsetHeight;
  const goBelow = side === "below" ? below >= wanted || below >= above : above < wanted && below > above;
  const height = Math.min(wanted, goBelow ? below : above);
  node.style.setProperty("max-height", `${Math.max(goBelow ? below : above, 80)}px`);
  node.style.setProperty("top", `${goBelow ? box.bottom + GAP : box.top - GAP - height}px`);
  node.style.setProperty(
    "left",
    `${Math.max(MARGIN, Math.min(box.left, innerWidth - node.offsetWidth - MARGIN))}px`,
  );

  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    document.removeEventListener("pointerdown", outside, true);
    document.removeEventListener("keydown", escape, true);
    window.removeEventListener("resize", close);
    node.remove();
    onClose();
  };
  const outside = (event) => {
    if (!node.contains(event.target) && !(anchor instanceof Element && anchor.contains(event.target)))
      close();
  };
  const escape = (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    close();
  };
  document.addEventListener("pointerdown", outside, true);
  document.addEventListener("keydown", escape, true);
  window.addEventListener("resize", close);
  return close;
}
