// Imports employees. After a file is chosen, the page shows how its columns would be used. Then it can be imported.

import { alertOf, upload } from "./send.js";
import { text, toast } from "./texts.js";

const PATH = "/console/attendance/employees";

function query(form) {
  const chosen = [...form.querySelectorAll("select")].map((select) => [select.name, select.value]);
  return chosen.length ? `?${new URLSearchParams(chosen)}` : "";
}

async function preview(form, isNewFile) {
  const turn = String(Number(form.dataset.turn ?? 0) + 1); // only the answer to the latest request is shown
  form.dataset.turn = turn;
  const shown = form.querySelector("[data-preview]");
  const focused = document.activeElement?.name;
  const file = form.querySelector("input[type=file]").files[0];
  if (isNewFile) shown.replaceChildren();
  const button = shown.querySelector("button");
  if (button) button.disabled = true; // the preview no longer shows what would be imported
  if (!file) return;
  try {
    const answer = await upload(`${PATH}/preview${query(form)}`, file);
    const said = answer.ok ? await answer.text() : (await answer.json()).detail;
    if (form.dataset.turn !== turn) return;
    alertOf(form, answer.ok ? "" : said);
    shown.innerHTML = answer.ok ? said : "";
    if (!isNewFile) [...shown.querySelectorAll("select")].find((select) => select.name === focused)?.focus();
  } catch {
    toast(text("failed"));
  }
}

async function take(form) {
  const button = form.querySelector("button");
  const file = form.querySelector("input[type=file]").files[0];
  if (!file || !button) return;
  button.disabled = true;
  const turn = form.dataset.turn;
  try {
    const answer = await upload(`${PATH}/import${query(form)}`, file);
    const value = await answer.json();
    const unknown = answer.ok ? value.unknown_device_ids.join(", ") : "";
    if (answer.ok) {
      form.dataset.turn = String(Number(turn ?? 0) + 1); // ignore a preview that is still loading
      form.reset();
      form.querySelector("[data-preview]").replaceChildren();
      toast(text("imported", value));
      htmx.trigger(document.body, "imported");
    }
    alertOf(form, answer.ok ? unknown && text("unknown_devices", { unknown }) : value.detail);
  } catch {
    toast(text("failed"));
  } finally {
    if (form.dataset.turn === turn) button.disabled = false; // otherwise, other columns have been chosen
  }
}

export function bind(root) {
  root.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-import]");
    if (form) preview(form, event.target.type === "file");
  });
  root.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-import]");
    if (!form) return;
    event.preventDefault();
    take(form);
  });
}
