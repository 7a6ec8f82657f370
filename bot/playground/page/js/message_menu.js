/** What can be done with a message or its author: the bot's context-menu commands, links, ids, texts. */

import { usableCommands } from "./command_catalog.js";
import { icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { isPicture } from "./pictures.js";
import { FLAGS } from "./store.js";

const USER_COMMAND = 2;
const MESSAGE_COMMAND = 3;

export function openMessageMenu(anchor, chat, message) {
  const ephemeral = Boolean((message.flags ?? 0) & FLAGS.EPHEMERAL);
  const picture = message.attachments?.find(isPicture);
  const guild = chat.store.channels.get(message.channel_id)?.type === 1 ? "@me" : chat.store.guild.id;
  const items = [
    message.content && {
      label: "Copy text",
      icon: icon("copy"),
      action: () => chat.copy(message.content, "Text copied"),
    },
    !ephemeral && {
      label: "Copy message link",
      icon: icon("link"),
      action: () =>
        chat.copy(
          `${location.origin}/#/channels/${guild}/${message.channel_id}/${message.id}`,
          "Link copied",
        ),
    },
    { label: "Copy message ID", icon: icon("copy"), action: () => chat.copy(message.id, "ID copied") },
    picture && {
      label: "Open picture in a new tab",
      icon: icon("external"),
      action: () => window.open(picture.url, "_blank", "noopener"),
    },
    ephemeral && { label: "Dismiss message", icon: icon("close"), action: () => chat.dismiss(message) },
  ];
  const apps = ephemeral ? [] : commandItems(chat, message, MESSAGE_COMMAND, message.id);
  openMenu(anchor, [{ heading: "Apps", items: apps }, { items: items.filter(Boolean) }], {
    label: "Message actions",
  });
}

export function openUserMenu(anchor, chat, message) {
  const { author } = message;
  openMenu(
    anchor,
    [
      { heading: "Apps", items: commandItems(chat, message, USER_COMMAND, author.id) },
      {
        items: [
          { label: "Mention", icon: icon("at"), action: () => chat.composer.insert(`<@${author.id}> `) },
          { label: "Copy user ID", icon: icon("copy"), action: () => chat.copy(author.id, "ID copied") },
        ],
      },
    ],
    { label: `Actions for ${chat.store.nameOf(author)}` },
  );
}

function commandItems(chat, message, type, target) {
  const channel = chat.store.channels.get(message.channel_id);
  return usableCommands(chat.store, channel, type).map((command) => ({
    label: command.name,
    icon: icon("slash"),
    action: () => chat.contextCommand(message.channel_id, command, target),
  }));
}
