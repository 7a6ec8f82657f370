/** A form the bot opened: every input kind of Discord's modals, checked before it is sent and kept open when sending fails. */

import { el, fill, freshId } from "./dom.js";
import { rememberFocus } from "./focus.js";
import { icon } from "./icons.js";
import { markdown } from "./markdown.js";
import { makeInput } from "./modal_inputs.js";
import { describeFailure } from "./refusals.js";

const ACTION_ROW = 1;
const TEXT_DISPLAY = 10;
const LABEL = 18;

/** `answer`: {interaction_id, modal: {custom_id, title, components}}. */
export function openModal(chat, { interaction_id: interactionId, modal }) {
  const giveFocusBack = rememberFocus();
  const parts = modal.components.map((component) => makePart(component, chat));
  const titleId = freshId("modal");
  const problem = el("div.modal-problem", { role: "alert" });
  const submit = el("button.button.button-primary", { type: "submit" }, "Submit");
  const cancel = el("button.button.button-plain", { type: "button" }, "Cancel");
  const close = el("button.modal-close", { type: "button", "aria-label": "Close" }, icon("close"));
  const form = el(
    "form.modal-form",
    { noValidate: true },
    el("header.modal-head", {}, el("h2", { id: titleId }, modal.title), close),
    el(
      "div.modal-body",
      {},
      problem,
      parts.map((part) => part.node),
    ),
    el("footer.modal-foot", {}, cancel, submit),
  );
  const dialog = el("dialog.modal", { "aria-labelledby": titleId }, form);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.hasAttribute("aria-busy")) return;
    const wrong = parts.filter((part) => !part.check());
    if (wrong.length) {
      wrong[0].node.querySelector("input, textarea, button")?.focus();
      return;
    }
    // A disabled button would lose the focus, and with it the way to try again.
    submit.setAttribute("aria-busy", "true");
    fill(problem);
    try {
      await chat.submit(
        interactionId,
        modal.custom_id,
        parts.map((part) => part.read()),
      );
      dialog.close();
    } catch (error) {
      fill(
        problem,
        icon("warning"),
        el(
          "span",
          {},
          `${describeFailure(error)}. Nothing you typed is lost: you can send it again.`.replace("..", "."),
        ),
      );
    }
    submit.removeAttribute("aria-busy");
  });
  for (const button of [cancel, close]) button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    for (const part of parts) part.release?.();
    giveFocusBack();
  });
  document.body.append(dialog);
  dialog.showModal();
  (
    form.querySelector(".modal-body input:not([type=file]), .modal-body textarea, .modal-body button") ??
    submit
  ).focus();
}

/** One top-level component: {node, check(): boolean, read(): what MODAL_SUBMIT carries}. */
function makePart(component, chat) {
  if (component.type === TEXT_DISPLAY) {
    return {
      node: el("div.modal-text.markup", {}, markdown(component.content, chat)),
      check: () => true,
      read: () => ({ type: TEXT_DISPLAY, id: component.id }),
    };
  }
  if (component.type === ACTION_ROW) {
    const fields = component.components.map((inner) => makeField(inner.label ?? "", null, inner, chat));
    return {
      node: el(
        "div",
        {},
        fields.map((field) => field.node),
      ),
      check: () => fields.map((field) => field.check()).every(Boolean),
      release: () => fields.forEach((field) => field.release?.()),
      read: () => ({ type: ACTION_ROW, id: component.id, components: fields.map((field) => field.read()) }),
    };
  }
  const field = makeField(component.label, component.description, component.component, chat);
  return { ...field, read: () => ({ type: LABEL, id: component.id, component: field.read() }) };
}

function makeField(label, description, component, chat) {
  const input = makeInput(component, chat);
  const [labelId, hintId, errorId] = [freshId("label"), freshId("hint"), freshId("error")];
  const error = el("div.field-error", { id: errorId, role: "alert" });
  const required = component.required !== false && component.type !== 23;
  // A label element can only name a single form control; groups and selects are named by reference instead.
  const title = el(
    "div.field-label",
    { id: labelId },
    label,
    required && el("span.required", { title: "required", "aria-label": "required" }, " *"),
  );
  const node = el(
    "div.field",
    {},
    title,
    description && el("div.field-hint", { id: hintId }, description),
    input.node,
    error,
  );
  input.target.setAttribute("aria-labelledby", labelId);
  input.target.setAttribute("aria-describedby", [description && hintId, errorId].filter(Boolean).join(" "));
  title.addEventListener("click", () => input.target.focus());
  return {
    node,
    release: input.release,
    read: () => ({ type: component.type, id: component.id, custom_id: component.custom_id, ...input.read() }),
    check() {
      const text = input.problem();
      fill(error, text);
      input.target.setAttribute("aria-invalid", String(Boolean(text)));
      return !text;
    },
  };
}
