// Shared by all pages: theme, times, copying, and calls to the API.

import { open as openLive } from "./live.js";
import { open as openActions } from "./actions.js";
import { bind as bindImport } from "./employees.js";
import { draw } from "./plots.js";
import { bind as bindPreview } from "./preview.js";
import { bind, root as rootPath } from "./send.js";
import { text, toast } from "./texts.js";

const root = document.documentElement;

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page only, then */ }
  draw(document);
}

function ago(seconds) {
  if (seconds < 5) return text("just_now");
  for (const [name, size] of [["days", 86400], ["hours", 3600], ["minutes", 60], ["seconds", 1]]) {
    if (seconds >= size) return text(name, { n: Math.floor(seconds / size) });
  }
  return "";
}

// Shows times of the last two days as "5 min ago", and older ones in the browser's format. The title has the full time.
export function showTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const seconds = (Date.now() - at.getTime()) / 1000;
    time.textContent = seconds >= 0 && seconds < 172800 ? ago(seconds)
      : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
}

async function copy(button) {
  const source = button.dataset.copyFrom;
  const value = source ? document.getElementById(source).textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(value);
  } catch { // the clipboard API requires https
    const area = document.createElement("textarea");
    area.value = value;
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  toast(text("copied"));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) copy(button);
  if (event.target.closest("[data-theme-switch]")) switchTheme();
});
document.addEventListener("change", (event) => {
  const go = event.target.closest("select[data-go]");
  if (go?.value) location.href = `${rootPath}${go.dataset.go}${go.value}?device_id=${encodeURIComponent(document.getElementById("device")?.value ?? "")}`;
});
document.addEventListener("htmx:afterSettle", (event) => { showTimes(document); draw(event.target.parentElement ?? document); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));

// On a phone, the menu is wider than the page.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
bind(document);
bindImport(document);
bindPreview(document);
showTimes(document);
setInterval(() => showTimes(document), 10000);
draw(document);
openLive(showTimes);
openActions();
