// The scripts' texts, which are part of the page, and the line that shows the result of an action.

const texts = JSON.parse(document.getElementById("texts").textContent);

export function text(name, values = {}) {
  return texts[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

let timer;

export function toast(message) {
  const line = document.getElementById("status");
  line.textContent = message;
  clearTimeout(timer);
  timer = setTimeout(() => { line.textContent = ""; }, 5000);
}
