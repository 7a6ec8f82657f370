/** Generated faces: initials on a colour that follows from the id, so that nobody needs a picture. */

import { el } from "./dom.js";

const COLORS = [
  "#c2554d",
  "#b3692b",
  "#8a7a1f",
  "#3f8a4f",
  "#2d8a86",
  "#3b7bbf",
  "#6a6fd6",
  "#9a5fc4",
  "#bf4f8b",
];

/** A round avatar of a user; decorative, because the name always stands beside it. A bot's has four quarters. */
export function avatar(user, name) {
  const start = spread(user.id);
  if (user.bot) {
    const quarters = [0, 2, 4, 7].map(
      (step, index) => `${COLORS[(start + step) % COLORS.length]} 0 ${(index + 1) * 25}%`,
    );
    return el(
      "span.avatar",
      { "aria-hidden": "true", style: { "--avatar": `conic-gradient(${quarters.join(", ")})` } },
      initials(name),
    );
  }
  return el("span.avatar", { "aria-hidden": "true", style: { "--avatar": COLORS[start] } }, initials(name));
}

/** Ids made in the same moment differ in few bits, so they are mixed before they choose a colour. */
function spread(id) {
  let hash = 7;
  for (const digit of id) hash = (hash * 31 + digit.charCodeAt(0)) >>> 0;
  return ((hash ^ (hash >>> 13)) >>> 0) % COLORS.length;
}

/** "Ada Lovelace" gives AL, "fourfold" gives F, "🦊" stays. */
export function initials(name) {
  const words = name
    .trim()
    .split(/[\s_.-]+/)
    .filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join("").toUpperCase() || "?";
}
