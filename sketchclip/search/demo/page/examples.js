// Doodles to try, for a first look and for whoever cannot draw now.

import { PAPER, dense } from "./curve.js";
import { spoken } from "./results.js";

const MARGIN = 150;
const SVG = "http://www.w3.org/2000/svg";

export function showExamples(examples, take) {
  const list = document.getElementById("examples");
  document.getElementById("examples-field").hidden = examples.length === 0;
  for (const { name, drawing } of examples) {
    const strokes = place(drawing);
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tile";
    button.setAttribute("aria-label", `Doodle: ${spoken(name)}`);
    button.append(picture(strokes));
    button.addEventListener("click", () => take(strokes));
    item.append(button);
    list.append(item);
  }
}

// Scales a drawing into the middle of the paper.
function place(drawing) {
  const [xs, ys] = [0, 1].map((axis) => drawing.flatMap((stroke) => stroke[axis]));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const scale = (PAPER - 2 * MARGIN) / Math.max(width, height, 1);
  const x0 = (PAPER - scale * width) / 2;
  const y0 = (PAPER - scale * height) / 2;
  return drawing.map(([x, y]) => ({
    points: dense(x.map((value, at) => [x0 + scale * (value - left), y0 + scale * (y[at] - top)])),
    width: 1,
  }));
}

function picture(strokes) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${PAPER} ${PAPER}`);
  for (const { points } of strokes) {
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.map((point) => point.map(Math.round)).join(" "));
    svg.append(line);
  }
  return svg;
}
