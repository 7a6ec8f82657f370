/** Commands as text: `/imagine prompt: a boat --ar 3:2 image: …` typed by hand, pasted or recalled from the history. */

/**
 * Finds the command a text begins with. Gives {entry, rest} for the longest fitting name followed by a space or the
 * end, else null.
 */
export function findCommand(text, entries) {
  if (!text.startsWith("/")) return null;
  const typed = text.slice(1);
  const fits = entries.filter(({ name }) => {
    const head = typed.slice(0, name.length).toLowerCase();
    return head === name && (typed.length === name.length || /\s/.test(typed[name.length]));
  });
  if (!fits.length) return null;
  const entry = fits.reduce((best, other) => (other.name.length > best.name.length ? other : best));
  return { entry, rest: typed.slice(entry.name.length).trimStart() };
}

/**
 * Splits `prompt: a boat image: x` into a Map of option name → text. A name counts where it stands at the start or after
 * a space and was not used before, so `--ar 3:2` and a second `prompt:` stay text. What comes before the first name
 * belongs to the first text option, so `/imagine a boat` works too.
 */
export function splitOptions(rest, options) {
  const values = new Map();
  const lead = leadOption(options);
  let current = lead;
  let from = 0;
  const store = (end) => {
    const text = rest.slice(from, end).trim();
    if (current && (text || current !== lead || values.has(current.name))) values.set(current.name, text);
  };
  for (const match of rest.matchAll(/(^|\s)([-_\p{L}\p{N}]{1,32}):(?=\s|$|\S)/gu)) {
    const option = options.find(({ name }) => name === match[2].toLowerCase());
    if (!option || values.has(option.name) || (option === current && from > 0)) continue;
    const before = rest.slice(from, match.index).trim();
    if (option !== current || before) store(match.index);
    current = option;
    from = match.index + match[0].length;
  }
  store(rest.length);
  return values;
}

/** The option that takes text given without a name. */
export function leadOption(options) {
  return (
    options.find((option) => option.type === 3 && option.required) ??
    options.find((option) => option.type === 3) ??
    null
  );
}

/** The text form of a command and its values, as it goes into the history. */
export function writeCommand(entry, values) {
  return [`/${entry.name}`, ...[...values].map(([name, text]) => `${name}: ${text}`)].join(" ");
}
