// The scripts' texts, which the page brings along, and the line that says what happened.

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
