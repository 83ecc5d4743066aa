// Puts the page together: what is asked, what is found.

import { Details } from "./details.js";
import { showExamples } from "./examples.js";
import { EMPTY, History } from "./history.js";
import { LiveSearch, ask, post } from "./live.js";
import { Pad } from "./pad.js";
import { Results, photoUrl, spoken } from "./results.js";
import { readSketch, takeSketches } from "./sketches.js";

const find = (id) => document.getElementById(id);
const [canvas, text, weight, klass] = ["canvas", "text", "weight", "class"].map(find);
const history = new History();
const pad = new Pad(canvas, drawn);
const live = new LiveSearch(answered, failed);
const details = new Details(moreLike);
let about = { columns: [], classes: [], limits: { upload_bytes: Infinity, points: Infinity } };
let columns = [];
let shown = null; // the query whose photos are on the page

// --- what is asked ---------------------------------------------------------------------------

function question(strokes = history.state.strokes) {
  const { picture, like } = history.state;
  const query = { text: text.value.trim(), weight: weight.value / 100, class_name: klass.value || null };
  if (strokes.length) {
    const row = (points, axis) => points.map((point) => Math.round(point[axis]));
    query.strokes = strokes.map(({ points, width }) => ({ x: row(points, 0), y: row(points, 1), width }));
  } else if (picture) {
    query.picture = picture;
  } else if (like) {
    query.like = { column: like.column, photo: like.hit.id };
  }
  return query;
}

function isEmpty(query) {
  return !(query.strokes || query.picture || query.like || query.text);
}

function search(continues = false, strokes = undefined) {
  const query = question(strokes);
  const drawn = Boolean(query.strokes || query.picture || query.like);
  weight.disabled = !(drawn && query.text);
  if (isEmpty(query)) {
    live.cancel();
    shown = null;
    for (const results of columns) results.show([]);
    find("seen-note").hidden = true;
    begin(true);
    say("");
  } else {
    live.request(query, continues);
  }
  busy();
}

function drawn(strokes, done) {
  find("hint").hidden = true;
  const points = strokes.reduce((sum, stroke) => sum + stroke.points.length, 0);
  if (points > about.limits.points) {
    say("The drawing is full: undo or erase something.");
    if (done) show();
    return;
  }
  if (history.state.picture || history.state.like) find("picture").hidden = true;
  if (done) {
    if (strokes !== history.state.strokes) history.push({ ...EMPTY, strokes });
    buttons();
  }
  search(true, strokes);
}

function change(state) {
  history.push(state);
  show();
  search();
}

function travel(step) {
  history[step]();
  show();
  search();
}

function clear() {
  if (history.state !== EMPTY) change(EMPTY);
  canvas.focus({ preventScroll: true });
}

function moreLike(column, hit) {
  text.value = "";
  change({ ...EMPTY, like: { column, hit } });
}

async function open(file) {
  say("Reading the sketch.");
  try {
    change({ ...EMPTY, picture: await readSketch(file, about.limits.upload_bytes) });
  } catch (error) {
    failed(error);
  }
}

// --- what is shown ---------------------------------------------------------------------------

function show() {
  const { strokes, picture, like } = history.state;
  pad.show(strokes);
  const image = find("picture");
  image.hidden = !(picture || like);
  if (picture) image.src = picture;
  if (like) image.src = photoUrl(like.column, like.hit);
  image.alt = like ? `Photos like ${spoken(like.hit.class) || like.hit.path}` : "The opened sketch";
  find("hint").hidden = history.state !== EMPTY;
  buttons();
}

function buttons() {
  find("undo").disabled = !history.canUndo;
  find("redo").disabled = !history.canRedo;
  find("clear").disabled = history.state === EMPTY;
}

// rest: for those who cannot see the photos.
function say(message, { rest = "", isError = false } = {}) {
  find("told").textContent = message;
  find("more-told").textContent = rest;
  find("status").classList.toggle("error", isError);
}

function busy() {
  find("columns").setAttribute("aria-busy", live.isWaiting);
}

function begin(begins) {
  find("start").hidden = !begins;
  find("columns").hidden = begins;
  find("download").hidden = begins;
}

function answered(answer, query) {
  shown = query;
  begin(false);
  columns.forEach((results, at) => results.show(answer.results[at]));
  find("seen-note").hidden = !answer.seen;
  if (answer.seen) find("seen").src = answer.seen;
  // Not for every line of a drawing: a screen reader would never come to an end.
  if (!pad.drawing) tell(answer.results[0]);
  busy();
}

function tell(hits) {
  const names = new Set(hits.slice(0, 10).map((hit) => spoken(hit.class)).filter(Boolean));
  const rest = names.size ? ` found. First: ${[...names].slice(0, 3).join(", ")}.` : " found.";
  if (hits.length) say(`${hits.length} best`, { rest });
  else say("No photo found.");
}

function failed(error) {
  say(error.retryAfter ? "The server is busy; trying again." : error.message, { isError: true });
  busy();
}

async function download() {
  try {
    const response = await post("api/grid", shown);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = "sketchclip.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    failed(error);
  }
}

// --- wiring ----------------------------------------------------------------------------------

for (const input of document.querySelectorAll("input[name=tool]")) {
  input.addEventListener("change", () => (pad.tool = input.value));
}
for (const input of document.querySelectorAll("input[name=width]")) {
  input.addEventListener("change", () => (pad.width = Number(input.value)));
}
find("undo").addEventListener("click", () => travel("undo"));
find("redo").addEventListener("click", () => travel("redo"));
find("clear").addEventListener("click", clear);
find("download").addEventListener("click", download);
find("refine").addEventListener("submit", (event) => event.preventDefault());
for (const input of [text, weight]) input.addEventListener("input", () => search(true));
klass.addEventListener("change", () => search());
takeSketches(find("file"), find("drop"), open);

const KEYS = { p: ["tool", "pen"], e: ["tool", "eraser"], 1: ["width", "0.6"], 2: ["width", "1"], 3: ["width", "1.8"] };

document.addEventListener("keydown", (event) => {
  const target = event.target;
  const writes = target.matches("input[type=search], select") || find("details").open;
  if (writes) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" || key === "y") {
      event.preventDefault();
      travel(key === "y" || event.shiftKey ? "redo" : "undo");
    }
    return;
  }
  // Letters and digits count on the paper and its tools only: elsewhere they may belong to
  // somebody's voice control.
  if (event.altKey || !target.closest(".paper, .tools")) return;
  if (key === "delete" || key === "backspace") clear();
  const [name, value] = KEYS[key] ?? [];
  if (name) document.querySelector(`input[name=${name}][value="${value}"]`).click();
});

async function start() {
  try {
    about = await (await ask("api/about")).json();
  } catch (error) {
    failed(error);
    return;
  }
  const photos = about.columns[0].photos.toLocaleString("en");
  find("about").textContent = `${photos} photos · ${about.columns.map((c) => c.name).join(" · ")}`;
  for (const name of about.classes) klass.append(new Option(spoken(name), name));
  find("class").closest(".field").hidden = about.classes.length === 0;
  showExamples(about.examples, (strokes) => change({ ...EMPTY, strokes }));
  columns = about.columns.map(({ name }, at) => new Results(at, name, (r, hit) => details.open(r, hit)));
  find("columns").replaceChildren(...columns.map((results) => results.section));
  find("columns").dataset.count = columns.length;
  search(); // a browser keeps the text of a page that is loaded again
}

// On a phone the photos would else be far below the paper.
if (matchMedia("(max-width: 760px)").matches) document.querySelector("details").open = false;
start();
