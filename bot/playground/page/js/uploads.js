/** Files on their way to the stand-in: thumbnail at once, then progress, then an id that options and modals carry. */

import { sizeText } from "./components.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Starts an upload. The returned object changes as it goes on, calling `changed` each time:
 * {file, preview, progress 0–1, id or null, error or null, done: Promise of the object, release()}. Whoever drops it calls
 * `release`: a file still on its way stops, and the browser forgets the thumbnail.
 */
export function upload(file, limit, changed) {
  const item = {
    file,
    preview: file.type.startsWith("image/") ? URL.createObjectURL(file) : null,
    progress: 0,
    id: null,
    error: null,
  };
  // fetch cannot report how much of a body has left, so this is an XMLHttpRequest.
  const request = new XMLHttpRequest();
  item.release = () => {
    request.abort();
    if (item.preview) URL.revokeObjectURL(item.preview);
  };
  item.done = new Promise((resolve) => {
    const finish = (fields) => {
      Object.assign(item, fields);
      changed(item);
      resolve(item);
    };
    if (file.size > limit) {
      queueMicrotask(() =>
        finish({
          error: `${file.name} is too big: ${sizeText(file.size)}, at most ${sizeText(limit)} are allowed.`,
        }),
      );
      return;
    }
    request.open("POST", "/page/upload");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      item.progress = event.lengthComputable ? event.loaded / event.total : 0;
      changed(item);
    });
    request.addEventListener("load", () => {
      if (request.status === 200) finish({ id: request.response.id, progress: 1 });
      else
        finish({
          error:
            request.response?.message ?? `${file.name} could not be uploaded (status ${request.status}).`,
        });
    });
    request.addEventListener("error", () =>
      finish({ error: `${file.name} could not be uploaded: Fourfold has stopped or cannot be reached.` }),
    );
    // Nobody looks at it any more, but the form may be waiting for it.
    request.addEventListener("abort", () => resolve(item));
    const body = new FormData();
    body.append("file", file, file.name);
    request.send(body);
  });
  return item;
}

/** An upload as a small card with a button that takes it away. */
export function describeUpload(item, remove) {
  const state =
    item.error ?? (item.id ? sizeText(item.file.size) : `Uploading… ${Math.round(item.progress * 100)} %`);
  const picture = item.preview && el("img.upload-thumbnail", { src: item.preview, alt: "" });
  // Not every file that calls itself a picture is one.
  if (picture) picture.addEventListener("error", () => picture.replaceWith(icon("file")), { once: true });
  return el(
    item.error ? "div.upload-card.upload-failed" : "div.upload-card",
    {},
    picture ?? icon("file"),
    el(
      "div.upload-text",
      {},
      el("span.upload-name", { title: item.file.name }, item.file.name),
      el("span.upload-state", {}, state),
    ),
    el(
      "button.upload-remove",
      { type: "button", "aria-label": `Remove ${item.file.name}`, title: "Remove", on: { click: remove } },
      icon("close"),
    ),
  );
}
