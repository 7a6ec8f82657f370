/** Building elements. User text only ever becomes text nodes: nothing in this page assigns innerHTML. */

/**
 * Makes an element: `el("div.message.grouped", { title: "x", on: { click } }, child, "text", null)`.
 * Properties named like DOM properties are assigned, everything else becomes an attribute; null and false are left out.
 */
export function el(spec, properties = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on")
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "style")
      for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text ?? "");
    else if (name in node && !name.includes("-") && !READ_ONLY.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

/** Appends nodes and strings, however deeply nested in arrays; null and false are left out. */
export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child);
  }
}

/** Replaces the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

// These exist as DOM properties but cannot be assigned, or take something else than the attribute's text.
const READ_ONLY = new Set(["list", "form", "role", "width", "height"]);

let lastId = 0;

/** An id no other element has, for aria-labelledby and its like. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** Calls `action` once, `delay` ms after the latest call. */
export function debounce(delay, action) {
  let timer = 0;
  const later = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), delay);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}
