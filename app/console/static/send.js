// Forms and buttons that call the API. `data-api="POST /v1/…"` is the call. `data-then` is the next step: a URL (with
// {field}s from the response), `reload`, or `note`.

import { text, toast } from "./texts.js";

const token = document.querySelector('meta[name="csrf-token"]').content;
// The prefix of our paths, which is the path of RELAY_PUBLIC_URL and usually empty.
export const root = document.querySelector('meta[name="root-path"]').content;

export async function call(method, path, body, headers = {}) {
  const answer = await fetch(root + path, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRF-Token": token, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) location.href = `${root}/console/sign-in?next=${encodeURIComponent(location.pathname.slice(root.length))}`;
  return { ok: answer.ok, status: answer.status, value: answer.status === 204 ? {} : await answer.json() };
}

// Asks for confirmation. `button` is the button's text. If `names` is given, one of the names must be typed first.
// Resolves to the typed text ("" if there was none), or to null if the user cancelled.
export function ask(question, button, names = []) {
  const dialog = document.getElementById("confirm");
  const yes = document.getElementById("confirm-yes");
  const input = document.getElementById("confirm-name");
  const isTyped = () => !names.length || names.some((name) => name.trim() === input.value.trim());
  const check = () => { yes.disabled = !isTyped(); };
  document.getElementById("confirm-text").textContent = question;
  document.getElementById("confirm-typed").hidden = !names.length;
  document.getElementById("confirm-wanted").textContent = names[0] ?? "";
  yes.textContent = button;
  input.value = "";
  input.oninput = check;
  input.onkeydown = (event) => { // otherwise, Enter would press the first button, which is Cancel
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (isTyped()) dialog.close("yes");
  };
  check();
  dialog.returnValue = "no";
  dialog.showModal();
  if (names.length) input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" && isTyped() ? input.value.trim() : null), { once: true });
  });
}

// Before sending, asks the page's own URL for a question and a button's text, or for a note if there is nothing to
// send. Resolves to null if the user didn't confirm.
export async function askAt(path) {
  const { ok, value } = await call("GET", path);
  if (!ok) return { problem: value };
  if (value.note) { toast(value.note); return null; }
  const typed = await ask(value.question, value.button, value.names ?? []);
  return typed === null ? null : { typed };
}

// Converts a form's fields to the API's body, with lists and nested objects. When something is created, empty fields
// are left out. When something is changed, unchanged fields are left out.
function values(form) {
  const body = {};
  const changing = form.dataset.api.startsWith("PATCH");
  for (const input of form.elements) {
    if (!input.name || (changing && !isChanged(form, input))) continue;
    const value = valueOf(input, changing);
    if (value === undefined) continue;
    const [outer, inner] = input.name.split(".");
    const place = inner ? (body[outer] ??= {}) : body;
    const name = inner ?? outer;
    place[name] = Array.isArray(value) ? [...(place[name] ?? []), ...value] : value;
  }
  return body;
}

function isChanged(form, input) {
  if (input.tagName === "SELECT") return true;
  if (input.type !== "checkbox") return input.value.trim() !== input.defaultValue.trim();
  return [...form.elements].some((one) => one.name === input.name && one.checked !== one.defaultChecked);
}

function valueOf(input, changing) {
  const given = input.value.trim();
  const empty = input.type === "checkbox" ? !input.checked : !given;
  if (empty && (!changing || input.type === "password")) return undefined;
  if ("list" in input.dataset) return empty ? [] : (input.type === "checkbox" ? [given] : parts(given, ","));
  if ("headers" in input.dataset) return changing ? changedHeaders(headers(input.defaultValue), headers(given)) : headers(given);
  if (input.type === "checkbox") return input.checked;
  if (empty) return null;
  if (input.type === "number") return Number(given);
  return input.type === "datetime-local" && !("siteTime" in input.dataset) ? new Date(given).toISOString() : given;
}

function parts(given, separator) {
  return given.split(separator).map((part) => part.trim()).filter(Boolean);
}

// Parses one "Name: value" per line.
function headers(given) {
  return Object.fromEntries(parts(given, "\n").map((line) => {
    const [name, ...value] = line.split(":");
    return [name.trim(), value.join(":").trim()];
  }));
}

// A PATCH keeps headers that aren't sent. null removes a header.
function changedHeaders(before, now) {
  return { ...Object.fromEntries(Object.keys(before).map((name) => [name, null])), ...now };
}

// "All" and single choices exclude each other.
function exclude(box) {
  const boxes = [...(box.closest(".checks")?.querySelectorAll("input") ?? [])];
  const all = boxes.find((one) => "all" in one.dataset);
  if (!all || !box.checked) return;
  for (const other of boxes) if ((other === all) !== (box === all)) other.checked = false;
}

export function showErrors(form, problem) {
  clearErrors(form);
  let first;
  const others = [];
  for (const { pointer, parameter, header, message } of problem.errors ?? []) {
    const field = pointer?.slice(1).replaceAll("/", ".") || parameter || header || "body";
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

export function alertOf(element, message) {
  const line = element.querySelector(".alert[role=alert]") ?? element.closest(".card")?.querySelector(".alert[role=alert]");
  if (line) { line.textContent = message; line.hidden = !message; }
  else if (message) toast(message);
}

// Returns the value that is shown only once: the field `secret`, or the named URL if it contains a callback secret.
function secretIn(value, field) {
  return field ? (value[field]?.includes("?k=") ? value[field] : undefined) : value.secret;
}

function showSecret(secret) {
  const dialog = document.getElementById("secret");
  document.getElementById("secret-value").textContent = secret;
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

// A file is sent unchanged.
export function upload(path, file) {
  return fetch(root + path, { method: "POST", headers: { "Content-Type": "application/octet-stream", "X-CSRF-Token": token }, body: file });
}

// Asks for confirmation if the form requires it. Resolves to the typed text ("" if there was none), or to null if the
// user didn't confirm.
async function agreed(element, body) {
  if (element.dataset.confirm) return ask(element.dataset.confirm, element.dataset.yes);
  if (!element.dataset.confirmAt) return "";
  const [path, query] = element.dataset.confirmAt.split("?");
  const asked = await askAt(`${path}?${query ?? new URLSearchParams(body)}`).catch(() => ({ problem: {} }));
  if (asked?.problem) {
    if (element.matches("form")) showErrors(element, asked.problem);
    else toast(asked.problem.detail ?? text("failed"));
  }
  return asked?.typed ?? null;
}

async function send(element, body) {
  const [method, path] = element.dataset.api.split(" ");
  const typed = await agreed(element, body);
  if (typed === null) return;
  const button = element.matches("button") ? element : element.querySelector("button:not([type=button])");
  button.disabled = true;
  if (element.dataset.busy) toast(element.dataset.busy);
  try {
    const { ok, value } = await call(method, path, body, typed && { "X-Confirm-Device": encodeURIComponent(typed) });
    if (!ok) {
      if (element.matches("form")) showErrors(element, value);
      else alertOf(element, value.detail);
      return;
    }
    const secret = "secret" in element.dataset ? secretIn(value, element.dataset.secret) : undefined;
    if (secret) await showSecret(secret);
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
  if (what === "note") {
    toast(element.dataset.note);
    htmx.trigger(document.body, "queued");
  } else if (what === "reload") location.reload();
  else location.href = root + what.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(value[name]));
}

export function bind(root) {
  root.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-api]");
    if (!form) return;
    event.preventDefault();
    send(form, values(form));
  });
  root.addEventListener("change", (event) => exclude(event.target));
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-api]");
    if (button) send(button, button.dataset.body ? JSON.parse(button.dataset.body) : {});
  });
}
