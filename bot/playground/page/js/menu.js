/** Menus: the member switcher and what a right click, a long press or ⋯ on a message opens. */

import { el } from "./dom.js";
import { rememberFocus } from "./focus.js";
import { openPopover } from "./popover.js";

/** Closes the menu that is open, if one is. */
let opened = null;

/**
 * Opens a menu at `anchor` (element or {x, y}).
 * `sections`: [{heading?, items: [{label, icon?, detail?, checked?, action}]}]; empty sections are left out.
 */
export function openMenu(anchor, sections, { side = "below", label = "Menu" } = {}) {
  // A second press on what opened a menu closes it.
  const button = anchor instanceof Element ? anchor : null;
  if (button?.getAttribute("aria-expanded") === "true") {
    opened?.();
    return;
  }
  const giveFocusBack = rememberFocus(button ?? undefined);
  const menu = el("div.menu", { role: "menu", "aria-label": label, tabIndex: -1 });
  for (const { heading, items } of sections.filter((section) => section.items.length)) {
    const group = el("div.menu-section", { role: "group", "aria-label": heading ?? null });
    if (heading) group.append(el("div.menu-heading", { "aria-hidden": "true" }, heading));
    for (const item of items) {
      const run = () => {
        close();
        item.action();
      };
      const properties = {
        type: "button",
        tabIndex: -1,
        role: item.checked === undefined ? "menuitem" : "menuitemradio",
        on: { click: run },
      };
      if (item.checked !== undefined) properties["aria-checked"] = String(item.checked);
      group.append(
        el(
          "button.menu-item",
          properties,
          item.icon,
          el("span.menu-text", {}, item.label, item.detail && el("span.menu-detail", {}, item.detail)),
        ),
      );
    }
    menu.append(group);
  }
  menu.addEventListener("keydown", (event) => moveFocus(event, menu, close));
  const close = openPopover(menu, anchor, {
    side,
    onClose: () => {
      button?.setAttribute("aria-expanded", "false");
      if (document.activeElement === document.body) giveFocusBack();
    },
  });
  opened = close;
  button?.setAttribute("aria-expanded", "true");
  (menu.querySelector("[aria-checked=true]") ?? menu.querySelector(".menu-item"))?.focus({
    preventScroll: true,
  });
}

function moveFocus(event, menu, close) {
  const items = [...menu.querySelectorAll(".menu-item")];
  const at = items.indexOf(document.activeElement);
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
  if (event.key === "Tab") close();
  else if (event.key in steps) items[(steps[event.key] + items.length) % items.length]?.focus();
  else return;
  event.preventDefault();
}

/** Calls `open({x, y})` on a right click, the menu key, or a long press by touch, anywhere inside `node`. */
export function onContextMenu(node, open) {
  const wanted = (target) => !target.closest("a, input, textarea") && getSelection().isCollapsed;
  node.addEventListener("contextmenu", (event) => {
    if (!wanted(event.target)) return;
    event.preventDefault();
    const box = event.target.getBoundingClientRect();
    // The menu key reports no position; the element's corner stands in.
    open(
      event.clientX || event.clientY
        ? { x: event.clientX, y: event.clientY }
        : { x: box.left + 8, y: box.top + 8 },
      event.target,
    );
  });
  let timer = 0;
  const stop = () => clearTimeout(timer);
  // iOS fires no contextmenu event, so a still finger of half a second counts as one.
  node.addEventListener(
    "touchstart",
    (event) => {
      const { clientX: x, clientY: y } = event.touches[0];
      const { target } = event;
      stop();
      if (event.touches.length === 1 && wanted(target)) timer = setTimeout(() => open({ x, y }, target), 550);
    },
    { passive: true },
  );
  for (const end of ["touchend", "touchmove", "touchcancel", "contextmenu"])
    node.addEventListener(end, stop, { passive: true });
}
