// Forms and buttons that call the API. `data-api="POST /v1/…"` says what, `data-then` what follows: a URL (with {field}s
// of the answer), `reload`, or `note`.

import { text, toast } from "./texts.js";

const token = document.querySelector('meta[name="csrf-token"]').content;

export async function call(method, path, body, headers = {}) {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRF-Token": token, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) location.href = `/console/sign-in?next=${encodeURIComponent(location.pathname)}`;
  return { ok: answer.ok, status: answer.status, value: answer.status === 204 ? {} : await answer.json() };
}

export function ask(question) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// The form's fields as the API wants them: nothing for what is empty, lists and nested names put together.
function values(form) {
  const body = {};
  const changing = form.dataset.api.startsWith("PATCH");
  for (const input of form.elements) {
    if (!input.name || (input.type === "checkbox" && !input.checked)) continue;
    const given = input.value.trim();
    if (given === input.defaultValue && changing && input.tagName !== "SELECT") continue;
    if (!given && (!changing || input.type === "password")) continue;
    let value = given || null;
    if (input.type === "number") value = Number(given);
    if (input.type === "datetime-local") value = new Date(given).toISOString();
    if ("list" in input.dataset) value = given.split(",").map((part) => part.trim()).filter(Boolean);
    const [outer, inner] = input.name.split(".");
    if (inner) (body[outer] ??= {})[inner] = value;
    else body[outer] = Array.isArray(value) ? [...(body[outer] ?? []), ...value] : value;
  }
  // "All" is what is said when nothing narrower is.
  if (Array.isArray(body.events) && body.events.length > 1) body.events = body.events.filter((name) => name !== "*");
  return body;
}

export function showErrors(form, problem) {
  clearErrors(form);
  let first;
  const others = [];
  for (const { field, message } of problem.errors ?? []) {
    const name = field.replace(/\.\d+$/, "");
    const line = document.getElementById(`e-${name}`);
    const input = form.querySelector(`[name="${CSS.escape(name)}"]`);
    if (!line || !form.contains(line)) { others.push(`${field}: ${message}`); continue; }
    line.textContent = message;
    input?.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  if (others.length || !first) alertOf(form, others.join(" ") || problem.detail || text("failed"));
  first?.focus();
}

export function clearErrors(form) {
  for (const line of form.querySelectorAll("small.error")) line.textContent = "";
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  alertOf(form, "");
}

function alertOf(element, message) {
  const line = element.querySelector(".alert[role=alert]") ?? element.closest(".card")?.querySelector(".alert[role=alert]");
  if (line) { line.textContent = message; line.hidden = !message; }
  else if (message) toast(message);
}

function showSecret(secret) {
  const dialog = document.getElementById("secret");
  document.getElementById("secret-value").textContent = secret;
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

// A file is sent as it is; the answer counts what became of it.
async function sendFile(form) {
  const [method, path] = form.dataset.apiFile.split(" ");
  const file = form.querySelector("input[type=file]").files[0];
  if (!file) return;
  try {
    const answer = await fetch(path, { method, headers: { "Content-Type": "text/csv", "X-CSRF-Token": token }, body: file });
    const value = await answer.json();
    alertOf(form, answer.ok ? "" : value.detail);
    if (answer.ok) {
      toast(text("imported", value));
      htmx.trigger(document.body, "imported");
    }
  } catch {
    toast(text("failed"));
  }
}

async function send(element, body) {
  const [method, path] = element.dataset.api.split(" ");
  if (element.dataset.confirm && !(await ask(element.dataset.confirm))) return;
  const button = element.matches("button") ? element : element.querySelector("button:not([type=button])");
  button.disabled = true;
  if (element.dataset.busy) toast(element.dataset.busy);
  try {
    const { ok, value } = await call(method, path, body);
    if (!ok) {
      if (element.matches("form")) showErrors(element, value);
      else alertOf(element, value.detail);
      return;
    }
    if ("secret" in element.dataset && value.secret) await showSecret(value.secret);
    await then(element, value);
  } catch {
    toast(text("failed"));
  } finally {
    button.disabled = false;
  }
}

function then(element, value) {
  const what = element.dataset.then;
  if (element.matches("form")) clearErrors(element);
  if (what === "note") toast(element.dataset.note);
  else if (what === "reload") location.reload();
  else location.href = what.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(value[name]));
}

export function bind(root) {
  root.addEventListener("submit", (event) => {
    const fileForm = event.target.closest("form[data-api-file]");
    if (fileForm) { event.preventDefault(); sendFile(fileForm); }
    const form = event.target.closest("form[data-api]");
    if (!form) return;
    event.preventDefault();
    send(form, values(form));
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-api]");
    if (button) send(button, button.dataset.body ? JSON.parse(button.dataset.body) : {});
  });
}
