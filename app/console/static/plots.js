// Draws line charts with uPlot. `data-plot` names the series. `data-columns` contains them and `at` (s since 1970).

import { text } from "./texts.js";

const NAMES = { failed: "failed_attempts" };
const drawn = new WeakMap();

function colour(name) {
  // The browser resolves a light-dark() colour only if an element uses it.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function one(element) {
  drawn.get(element)?.destroy();
  const names = element.dataset.plot.split(" ");
  const columns = JSON.parse(element.dataset.columns);
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const percent = names[0] === "success";
  const plot = new uPlot({
    width: element.clientWidth,
    height: 210,
    cursor: { drag: { x: false, y: false } },
    scales: { y: percent ? { range: [0, 100] } : { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })) }, { ...axis, size: 48 }],
    series: [{}, ...names.map((name, index) => ({
      label: text(NAMES[name] ?? name),
      stroke: colour(`--series-${index + 1}`),
      width: 1.8,
      spanGaps: true,
      points: { show: columns.at.length < 60, size: 4 },
    }))],
  }, [columns.at, ...names.map((name) => columns[name])], element);
  drawn.set(element, plot);
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) drawn.get(target)?.setSize({ width: target.clientWidth, height: 210 });
});

export function draw(within) {
  for (const element of within.querySelectorAll("[data-plot]")) {
    one(element);
    sizes.observe(element);
  }
}
