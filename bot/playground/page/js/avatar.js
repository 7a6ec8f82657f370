/** Generated faces: initials on a colour that follows from the id, so that nobody needs a picture. */

import { el } from "./dom.js";

const COLORS = ["#c2554d", "#b3692b", "#8a7a1f", "#3f8a4f", "#2d8a86", "#3b7bbf", "#6a6fd6", "#9a5fc4", "#bf4f8b"];

/** A round avatar of a user; decorative, because the name always stands beside it. */
export function avatar(user, name) {
  const color = COLORS[Number(BigInt(user.id) % BigInt(COLORS.length))];
  return el("span.avatar", { "aria-hidden": "true", style: { "--avatar": color } }, initials(name));
}

/** "Ada Lovelace" gives AL, "fourfold" gives F, "🦊" stays. */
export function initials(name) {
  const words = name.trim().split(/[\s_.-]+/).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join("").toUpperCase() || "?";
}
