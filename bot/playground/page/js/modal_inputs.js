/**
 * The inputs a modal can hold. Each gives {node, target: what takes focus, read(): submit fields, problem(): text or null}, and
 * release() where it holds more than text.
 */

import { el, fill, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { Select } from "./select.js";
import { describeUpload, upload } from "./uploads.js";

const PARAGRAPH = 2;

export function makeInput(component, chat) {
  const make = { 4: text, 19: files, 21: radio, 22: checkboxes, 23: checkbox }[component.type] ?? select;
  return make(component, chat);
}

function text(component) {
  const long = component.style === PARAGRAPH;
  const limit = component.max_length ?? 4000;
  const counter = el("span.counter", { "aria-hidden": "true" });
  const field = el(long ? "textarea.text-field" : "input.text-field", {
    value: component.value ?? "",
    placeholder: component.placeholder ?? null,
    rows: long ? 4 : null,
    type: long ? null : "text",
    autocomplete: "off",
    "aria-required": String(component.required !== false),
  });
  const count = () => {
    const left = limit - [...field.value].length;
    counter.textContent = left < 0 || left < limit * 0.2 || long ? String(left) : "";
    counter.classList.toggle("over", left < 0);
  };
  field.addEventListener("input", count);
  count();
  return {
    node: el("div.text-holder", {}, field, counter),
    target: field,
    read: () => ({ value: field.value }),
    problem() {
      const length = [...field.value].length;
      if (!length) return component.required === false ? null : "Please fill this in.";
      if (length > limit) return `This has ${length} characters; at most ${limit} are allowed.`;
      if (length < (component.min_length ?? 0))
        return `This has ${length} characters; at least ${component.min_length} are needed.`;
      return null;
    },
  };
}

function select(component, chat) {
  const made = new Select(
    { ...component, min_values: component.required === false ? 0 : component.min_values },
    chat,
    () => {},
  );
  return {
    node: made.node,
    target: made.node,
    read: () => ({ values: made.values }),
    problem: () =>
      countProblem(
        made.values.length,
        component.min_values ?? 1,
        component.max_values ?? 1,
        component.required,
      ),
  };
}

function radio(component) {
  const name = freshId("radio");
  const inputs = component.options.map((option) =>
    el("input", { type: "radio", name, value: option.value, checked: Boolean(option.default) }),
  );
  const node = el("div.choices", { role: "radiogroup", tabIndex: -1 }, rows(component.options, inputs));
  const chosen = () => inputs.find((input) => input.checked)?.value ?? null;
  return {
    node,
    target: node,
    read: () => ({ value: chosen() }),
    problem: () => (component.required !== false && chosen() === null ? "Please choose one." : null),
  };
}

function checkboxes(component) {
  const inputs = component.options.map((option) =>
    el("input", { type: "checkbox", value: option.value, checked: Boolean(option.default) }),
  );
  const node = el("div.choices", { role: "group", tabIndex: -1 }, rows(component.options, inputs));
  const chosen = () => inputs.filter((input) => input.checked).map((input) => input.value);
  return {
    node,
    target: node,
    read: () => ({ values: chosen() }),
    problem: () =>
      countProblem(
        chosen().length,
        component.min_values ?? 1,
        component.max_values ?? component.options.length,
        component.required,
      ),
  };
}

function checkbox(component) {
  const input = el("input", { type: "checkbox", checked: Boolean(component.default) });
  return {
    node: el("label.choice", {}, input, el("span.choice-text", {}, "Yes")),
    target: input,
    read: () => ({ value: input.checked }),
    problem: () => null,
  };
}

function rows(options, inputs) {
  return options.map((option, index) =>
    el(
      "label.choice",
      {},
      inputs[index],
      el(
        "span.choice-text",
        {},
        el("span", {}, option.label),
        option.description && el("span.choice-detail", {}, option.description),
      ),
    ),
  );
}

function files(component, chat) {
  const most = component.max_values ?? 1;
  const least = component.required === false ? 0 : (component.min_values ?? 1);
  let chosen = [];
  const list = el("div.upload-list");
  const picker = el("input.visually-hidden", {
    type: "file",
    multiple: most > 1,
    tabIndex: -1,
    "aria-hidden": "true",
  });
  const button = el(
    "button.drop",
    { type: "button", on: { click: () => picker.click() } },
    icon("picture"),
    el(
      "span",
      {},
      most > 1 ? `Drop up to ${most} files here, or choose them` : "Drop a file here, or choose one",
    ),
  );
  const node = el("div.upload", {}, list, button, picker);
  const draw = () => {
    fill(
      list,
      chosen.map((item) =>
        describeUpload(item, () => {
          item.release();
          chosen = chosen.filter((other) => other !== item);
          draw();
        }),
      ),
    );
    button.hidden = chosen.length >= most;
  };
  const add = (fileList) => {
    for (const file of [...fileList].slice(0, most - chosen.length))
      chosen.push(upload(file, chat.store.uploadLimit, draw));
    draw();
  };
  picker.addEventListener("change", () => {
    add(picker.files);
    picker.value = "";
  });
  node.addEventListener("dragover", (event) => event.preventDefault());
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  node.addEventListener(
    "paste",
    (event) => event.clipboardData.files.length && add(event.clipboardData.files),
  );
  return {
    node,
    target: button,
    release: () => chosen.forEach((item) => item.release()),
    read: () => ({ values: chosen.filter((item) => item.id).map((item) => item.id) }),
    problem() {
      if (chosen.some((item) => item.error)) return "Remove the file that could not be uploaded.";
      if (chosen.some((item) => !item.id)) return "The upload is not finished yet.";
      return countProblem(chosen.length, least, most, component.required);
    },
  };
}

function countProblem(count, least, most, required) {
  if (count === 0 && required === false) return null;
  if (count < least) return least === 1 ? "Please choose one." : `Please choose at least ${least}.`;
  return count > most ? `Please choose at most ${most}.` : null;
}
