/** The commands a member may use in a channel, flattened so that `settings privacy stealth` is one entry. */

/** What most people come for; it leads the list, where Discord would put the command a member uses most. */
export const MAIN_COMMAND = "imagine";

const DIRECT_MESSAGE = 1;
const BOT_DM_CONTEXT = 1;
const GUILD_CONTEXT = 0;
const SUBCOMMAND = 1;
const SUBCOMMAND_GROUP = 2;

/** Application commands of a type (1 chat, 2 user, 3 message) that Discord would offer here; the server has left out what this member may not use. */
export function usableCommands(store, channel, type) {
  const direct = channel?.type === DIRECT_MESSAGE;
  return store.commands.filter((command) => {
    if ((command.type ?? 1) !== type) return false;
    if (direct && command.guild_id) return false;
    if (command.contexts && !command.contexts.includes(direct ? BOT_DM_CONTEXT : GUILD_CONTEXT)) return false;
    if (!command.contexts && direct && command.dm_permission === false) return false;
    return direct || !command.nsfw || Boolean(channel?.nsfw);
  });
}

/** Chat commands as flat entries: {command, path: [names], name: "a b c", description, options}. */
export function chatCommands(store, channel) {
  const entries = usableCommands(store, channel, 1).flatMap((command) => flatten(command, command, []));
  const first = (entry) => Number(entry.name === MAIN_COMMAND);
  return entries.sort((a, b) => first(b) - first(a) || a.name.localeCompare(b.name));
}

function flatten(command, node, path) {
  const names = [...path, node.name];
  const inner = (node.options ?? []).filter(
    (option) => option.type === SUBCOMMAND || option.type === SUBCOMMAND_GROUP,
  );
  if (inner.length) return inner.flatMap((option) => flatten(command, option, names));
  return [
    {
      command,
      path: names,
      name: names.join(" "),
      description: node.description ?? "",
      options: node.options ?? [],
    },
  ];
}

/** Entries that fit what was typed after the slash, best first: name begins with it, a word of it does, description has it. */
export function matchCommands(entries, typed) {
  const wanted = typed.trim().toLowerCase();
  const rank = ({ name, description }) => {
    if (name.startsWith(wanted)) return 0;
    if (name.split(/[\s_-]/).some((word) => word.startsWith(wanted))) return 1;
    if (name.includes(wanted)) return 2;
    return description.toLowerCase().includes(wanted) ? 3 : 4;
  };
  return entries
    .map((entry) => ({ entry, rank: rank(entry) }))
    .filter((found) => found.rank < 4)
    .sort((a, b) => a.rank - b.rank)
    .map((found) => found.entry);
}

/** The options wrapped in their subcommand and group, as an interaction carries them. */
export function nestOptions(entry, options) {
  const [, ...inner] = entry.path;
  let nested = options;
  inner
    .slice()
    .reverse()
    .forEach((name, index) => {
      nested = [{ name, type: index === 0 ? SUBCOMMAND : SUBCOMMAND_GROUP, options: nested }];
    });
  return nested;
}

/** The command whose name is nearest to a mistyped one, if it is near at all. */
export function nearestCommand(entries, typed) {
  const near = entries
    .map((entry) => ({ entry, distance: editDistance(entry.name, typed) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near && near.distance <= Math.max(2, typed.length / 3) ? near.entry : null;
}

function editDistance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
