// Keeps the form of an action and the JSON next to it in sync, sends the action, and waits for the device.

import { askAt, call, clearErrors, showErrors } from "./send.js";
import { text } from "./texts.js";

const TYPICAL_SECONDS = 15;

function read(form, device) {
  const body = {};
  if (device.value) body.device_id = device.value;
  for (const input of form.elements) {
    if (!input.name) continue;
    if (input.dataset.kind === "boolean") { if (input.checked) body[input.name] = true; continue; }
    if (!input.value.trim()) continue;
    const whole = input.dataset.kind === "integer" && /^-?\d+$/.test(input.value.trim());
    body[input.name] = whole ? Number(input.value) : input.value.trim();
  }
  return body;
}

function write(form, device, body) {
  for (const name of Object.keys(body)) {
    if (name !== "device_id" && name !== "confirm" && !form.elements[name]) throw new Error(text("json_field", { name }));
  }
  if (typeof body.device_id === "string") device.value = body.device_id;
  for (const input of form.elements) {
    if (!input.name) continue;
    const value = body[input.name];
    if (input.dataset.kind === "boolean") input.checked = value === true;
    else input.value = value === undefined || value === null ? "" : String(value);
  }
}

function parse(source) {
  let body;
  try { body = JSON.parse(source); } catch (error) { throw new Error(text("json_wrong", { message: error.message })); }
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw new Error(text("json_object"));
  return body;
}

function bindBoth(form, device, editor, error) {
  const fromForm = () => { editor.value = JSON.stringify(read(form, device), null, 2); error.textContent = ""; };
  form.addEventListener("input", (event) => { if (event.target !== editor && event.target.type !== "file") fromForm(); });
  device.addEventListener("change", fromForm);
  editor.addEventListener("input", () => {
    try {
      write(form, device, parse(editor.value));
      error.textContent = "";
    } catch (wrong) {
      error.textContent = wrong.message;
    }
  });
  form.addEventListener("change", async (event) => {
    const file = event.target.type === "file" && event.target.files[0];
    if (!file) return;
    const bytes = new Uint8Array(await file.arrayBuffer());
    let binary = "";
    for (const byte of bytes) binary += String.fromCharCode(byte);
    document.getElementById(event.target.dataset.into).value = btoa(binary);
    fromForm();
  });
  fromForm();
}

function progress() {
  const shown = document.getElementById("progress");
  const bar = document.getElementById("bar");
  const began = Date.now();
  shown.hidden = false;
  document.getElementById("progress-text").textContent = text("sending");
  const timer = setInterval(() => { bar.value = Math.min(TYPICAL_SECONDS, (Date.now() - began) / 1000); }, 200);
  return () => { clearInterval(timer); shown.hidden = true; };
}

async function outcome(answer) {
  let { status, value } = answer;
  const id = value.command_id;
  while (status === 202 || ["queued", "sending"].includes(value.status)) {
    if (value.status === "waiting") break;
    await new Promise((resolve) => { setTimeout(resolve, 700); });
    ({ status, value } = await call("GET", `/v1/commands/${id}`));
  }
  return { status, value };
}

function element(tag, content, className = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.append(content);
  return made;
}

function table(rows) {
  const names = ["user_id", "user_name", "occurred_at", "punch_type", "input_type"].filter((name) => rows.some((row) => row[name] != null));
  const made = element("table", "", "data slim");
  const head = made.createTHead().insertRow();
  for (const name of names) { const th = element("th", name.replaceAll("_", " ")); th.scope = "col"; head.append(th); }
  const body = made.createTBody();
  for (const row of rows.slice(0, 500)) {
    const line = body.insertRow();
    for (const name of names) line.insertCell().append(row[name] ?? "");
  }
  return focusable("div", made, "scroll");
}

function focusable(tag, content, className) {
  const made = element(tag, content, className);
  made.tabIndex = 0;
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", document.querySelector("#result").closest(".card").querySelector("h2").textContent);
  return made;
}

function show({ value }) {
  const status = value.command_status ?? (typeof value.status === "string" ? value.status : "failed");
  const line = element("p", element("span", status, `badge ${status}`));
  line.append(" ", value.detail ?? value.message ?? "");
  if (status === "waiting") line.append(" ", text("waiting"));
  const parts = [line];
  if (Array.isArray(value.logs) && value.logs.length) parts.push(table(value.logs));
  parts.push(focusable("pre", JSON.stringify(value, null, 2), ""));
  document.getElementById("result").replaceChildren(...parts);
}

export function open() {
  const form = document.getElementById("action");
  if (!form) return;
  const device = document.getElementById("device");
  const editor = document.getElementById("json");
  bindBoth(form, device, editor, document.getElementById("e-json"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let body;
    try { body = parse(editor.value); } catch { editor.focus(); return; }
    // The person has seen how the last command ended, so the relay needn't refuse this one if that is unknown.
    const headers = { Prefer: "respond-async", "Idempotency-Key": `console-${Date.now()}-${Math.random()}` };
    if (form.dataset.confirmAt) {
      const about = new URLSearchParams({ device_id: body.device_id ?? "", user_id: body.user_id ?? "" });
      const asked = await askAt(`${form.dataset.confirmAt}?${about}`).catch(() => ({ problem: { detail: text("failed") } }));
      if (!asked) return;
      if (asked.problem) { showErrors(form, asked.problem); return; }
      if ("destructive" in form.dataset) body.confirm = true;
      headers["X-Confirm-Device"] = encodeURIComponent(asked.typed);
    }
    const button = form.querySelector("button.primary");
    button.disabled = true;
    clearErrors(form);
    document.getElementById("result").replaceChildren();
    const stop = progress();
    try {
      const answer = await call("POST", `/v1/actions/${form.dataset.action}`, body, headers);
      if (answer.status === 422 && !answer.value.command_id) showErrors(form, answer.value);
      else show(await outcome(answer));
    } catch {
      showErrors(form, { detail: text("failed") });
    } finally {
      stop();
      button.disabled = false;
      const history = document.getElementById("history");
      if (history) htmx.trigger(history, "refresh");
    }
  });
}
