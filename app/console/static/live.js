// Adds new events above those that the page was loaded with, and shows an event's details in a drawer.

import { call, root } from "./send.js";
import { text } from "./texts.js";

const MOST = 200; // rows; older ones are on the next page

function cell(content, className = "") {
  const made = document.createElement("td");
  made.className = className;
  made.append(...[content].flat().filter((part) => part !== ""));
  return made;
}

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(content);
  return made;
}

function row(event) {
  const made = document.createElement("tr");
  made.dataset.id = event.id;
  made.className = "fresh";
  const name = event.user_name ?? event.full_name;
  const user = event.user_id ? [element("strong", name ?? event.user_id)] : [];
  if (name && event.user_id) user.push(" ", element("span", event.user_id, { class: "muted" }));
  const what = [element("a", event.type, { href: `${root}/console/events/${event.id}`, "data-open": "" })];
  if (event.test) what.push(" ", element("span", "test", { class: "badge test" }));
  const more = (event.punch_type ?? event.action ?? event.credential_type ?? event.reason ?? "").replaceAll("_", " ");
  made.append(
    cell(element("time", "", { datetime: event.received_at })),
    cell(what),
    cell(user),
    cell(event.device_label ?? event.device_id ?? "", "wide"),
    cell(event.input_type ? `${more} · ${event.input_type}` : more, "wide muted"),
  );
  return made;
}

function follow(table, showTimes) {
  const body = table.tBodies[0];
  const state = document.getElementById("stream-state");
  const pause = document.getElementById("pause");
  const types = JSON.parse(JSON.stringify([...document.querySelectorAll('select[name="type"] option')].map((option) => option.value || option.textContent)));
  let source;

  function tell(name) {
    state.textContent = text(name);
    state.className = `badge ${name}`;
  }
  function take(message) {
    const event = JSON.parse(message.data);
    if (body.querySelector(`[data-id="${event.id}"]`)) return;
    body.prepend(row(event));
    while (body.rows.length > MOST) body.lastElementChild.remove();
    document.getElementById("empty").hidden = true;
    if (event.type !== "callback.refused") document.getElementById("first-run")?.remove();
    showTimes(body.rows[0]);
  }
  function open() {
    tell("connecting");
    const last = body.rows[0]?.dataset.id;
    const url = new URL(table.dataset.stream, location.href);
    for (const [name, value] of [...url.searchParams]) if (!value) url.searchParams.delete(name);
    if (last) url.searchParams.set("last_event_id", last);
    source = new EventSource(url);
    source.onopen = () => tell("live");
    source.onerror = () => {
      tell("connecting");
      if (source.readyState === EventSource.CLOSED) setTimeout(again, 3000); // refused by the relay
    };
    for (const type of types) source.addEventListener(type, take);
  }
  async function again() {
    const signedIn = await call("GET", "/v1/me").then(({ status }) => status !== 401, () => true); // if not, the sign-in page opens
    if (signedIn && pause.getAttribute("aria-pressed") !== "true") open();
  }
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", paused);
    if (paused) { source.close(); tell("paused"); } else open();
  });
  addEventListener("pagehide", () => source?.close());
  open();
}

export function open(showTimes) {
  const table = document.getElementById("events");
  if (!table) return;
  if (table.dataset.stream) follow(table, showTimes);
  const drawer = document.getElementById("drawer");
  table.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-open]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    await htmx.ajax("GET", link.getAttribute("href"), { target: "#drawer-content", swap: "innerHTML" });
    showTimes(drawer);
    drawer.showModal();
  });
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
}
