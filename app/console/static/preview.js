// The preview of a subscription's message: what would be sent for a sample event.

import { call, clearErrors, showErrors } from "./send.js";
import { text, toast } from "./texts.js";

function asked(form) {
  const types = [...form.elements.event_types].filter((box) => box.checked && EVENT_TYPE.test(box.value));
  return {
    format: form.elements.format.value,
    template: form.elements.template.value.trim() || null,
    ...(types.length && { event_type: types[0].value }),
  };
}

// Families such as user.* have no samples.
const EVENT_TYPE = /^[a-z_.]+$/;

function shown({ content_type: type, body }) {
  return type.includes("json") ? JSON.stringify(JSON.parse(body), null, 2) : body;
}

async function preview(button) {
  const form = button.form;
  const place = form.querySelector("[data-preview-of]");
  place.hidden = true;
  clearErrors(form);
  try {
    const { ok, value } = await call("POST", "/v1/subscriptions/preview", asked(form));
    if (!ok) { showErrors(form, value); return; }
    place.textContent = shown(value);
    place.hidden = false;
  } catch {
    toast(text("failed"));
  }
}

export function bind(root) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-preview]");
    if (button) preview(button);
  });
}
