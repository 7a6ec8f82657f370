/** Snowflakes and moments: ordering ids, and every way the page writes a time. */

/** Orders snowflakes (strings of digits) by age, oldest first. */
export function compareIds(a, b) {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "short" });
const LONG = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** "14:05": beside grouped messages. */
export const clock = (date) => CLOCK.format(date);

/** "22 November 2026": on the line between two days. */
export const day = (date) => DAY.format(date);

/** The whole moment, for tooltips. */
export const longTime = (date) => LONG.format(date);

/** "Today at 14:05", "Yesterday at 14:05" or "22/11/2026 14:05": beside a name. */
export function messageTime(date) {
  const days = Math.round((startOfDay(new Date()) - startOfDay(date)) / 86_400_000);
  if (days === 0) return `Today at ${clock(date)}`;
  if (days === 1) return `Yesterday at ${clock(date)}`;
  return `${SHORT_DAY.format(date)} ${clock(date)}`;
}

/** Whether two dates fall on the same local day. */
export const sameDay = (a, b) => startOfDay(a).getTime() === startOfDay(b).getTime();

/** Text of Discord's `<t:SECONDS:STYLE>`. */
export function stampText(date, style) {
  if (style === "t") return CLOCK.format(date);
  if (style === "T") return CLOCK_SECONDS.format(date);
  if (style === "d") return SHORT_DAY.format(date);
  if (style === "D") return DAY.format(date);
  if (style === "F") return LONG.format(date);
  if (style === "R") return relative(date);
  return SHORT.format(date);
}

/** A `<time>` element for `<t:…>`; relative ones are kept current while the page is visible. */
export function stampElement(seconds, style) {
  const date = new Date(seconds * 1000);
  const node = document.createElement("time");
  if (Number.isNaN(date.getTime())) {
    node.textContent = "an impossible moment";
    return node;
  }
  node.dateTime = date.toISOString();
  node.title = longTime(date);
  node.className = "stamp";
  if (style === "R") node.dataset.relative = String(seconds);
  node.textContent = stampText(date, style);
  return node;
}

/** Starts the one clock that refreshes all relative stamps. */
export function keepStampsCurrent() {
  setInterval(() => {
    if (document.hidden) return;
    for (const node of document.querySelectorAll("time[data-relative]")) {
      const text = relative(new Date(Number(node.dataset.relative) * 1000));
      if (node.textContent !== text) node.textContent = text;
    }
  }, 1000);
}

function relative(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  const steps = [
    [60, 1, "second"],
    [3600, 60, "minute"],
    [86_400, 3600, "hour"],
    [2_592_000, 86_400, "day"],
    [31_536_000, 2_592_000, "month"],
    [Infinity, 31_536_000, "year"],
  ];
  const [, size, unit] = steps.find(([limit]) => Math.abs(seconds) < limit);
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}
