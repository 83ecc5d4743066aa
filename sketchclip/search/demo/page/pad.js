// The paper: draws strokes, and turns pointers and keys into new ones.

import { PAPER, PEN, Smoother, erase } from "./curve.js";

const ERASER = 28; // radius for width 1
const KEY_STEP = 20; // of the pen that arrow keys move

export class Pad {
  // changed(strokes, done): after every change; done once the pointer or the key is up.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.tool = "pen";
    this.width = 1;
    this.strokes = [];
    this.pointer = null; // id of the one that draws
    this.cursor = null; // where the eraser or the pen of the keyboard is shown
    this.context = canvas.getContext("2d");
    this.still = document.createElement("canvas"); // finished strokes, drawn once
    new ResizeObserver(() => this.#resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#lift());
    // A long press on a touch screen would open a menu in the middle of a stroke.
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get drawing() {
    return this.pointer !== null;
  }

  // Strokes as they stand now, with the one that is being drawn.
  get current() {
    return this.smoother ? [...this.strokes, this.#stroke()] : this.strokes;
  }

  show(strokes) {
    this.#abandon();
    this.strokes = strokes;
    this.#redraw();
  }

  #stroke() {
    return { points: this.smoother.points(), width: this.width };
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = PAPER / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #erases(event) {
    return this.tool === "eraser" || (event.buttons & 32) !== 0; // 32: the eraser end of a pen
  }

  #down(event) {
    if (this.drawing || (event.pointerType === "mouse" && event.button !== 0)) return;
    this.#lift();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    const at = this.#place(event);
    if (this.#erases(event)) {
      this.erasing = at;
      this.#erase(at);
    } else {
      this.smoother = new Smoother(...at);
    }
    this.#frame();
    this.changed(this.current, false);
  }

  #move(event) {
    if (event.pointerId !== this.pointer) {
      if (!this.drawing && event.pointerType !== "touch") this.#point(this.#place(event));
      return;
    }
    // All positions since the last frame, not only the newest one.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const at = this.#place(one);
      if (this.erasing) this.#erase(at);
      else this.smoother.add(...at);
    }
    this.cursor = this.erasing ? this.#place(event) : null;
    this.#frame();
    this.changed(this.current, false);
  }

  #up(event) {
    if (event.pointerId !== this.pointer) return;
    if (this.smoother) {
      if (event.type === "pointerup") this.smoother.end(...this.#place(event));
      this.strokes = this.current;
    }
    this.#abandon();
    this.#redraw();
    this.changed(this.strokes, true);
  }

  #abandon() {
    this.pointer = null;
    this.smoother = null;
    this.erasing = null;
  }

  #erase(at) {
    const left = erase(this.strokes, this.erasing, at, ERASER * this.width);
    this.erasing = at;
    if (left === this.strokes) return;
    this.strokes = left;
    this.#redraw();
  }

  // Arrow keys move a pen, Space puts it down and lifts it.
  #key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || this.drawing) return;
    if (step) {
      event.preventDefault();
      const size = event.shiftKey ? KEY_STEP / 4 : KEY_STEP;
      const [x, y] = this.cursor ?? [PAPER / 2, PAPER / 2];
      const inside = (value) => Math.min(PAPER - PEN, Math.max(PEN, value));
      const to = [inside(x + step[0] * size), inside(y + step[1] * size)];
      if (this.smoother) this.smoother.end(...to);
      else if (this.erasing) this.#erase(to);
      this.#point(to);
      if (this.smoother || this.erasing) this.changed(this.current, false);
    } else if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      this.cursor ??= [PAPER / 2, PAPER / 2];
      if (this.smoother || this.erasing) this.#lift();
      else if (this.tool === "eraser") this.#erase((this.erasing = this.cursor));
      else this.smoother = new Smoother(...this.cursor);
      this.#frame();
    }
  }

  // The end of what the keyboard draws.
  #lift() {
    if (this.drawing || !(this.smoother || this.erasing)) return;
    this.strokes = this.current;
    this.#abandon();
    this.#redraw();
    this.changed(this.strokes, true);
  }

  #point(at) {
    this.cursor = at;
    this.#frame();
  }

  #resize() {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!side || side === this.canvas.width) return;
    for (const canvas of [this.canvas, this.still]) canvas.width = canvas.height = side;
    this.#redraw();
  }

  #redraw() {
    const context = this.still.getContext("2d");
    context.clearRect(0, 0, this.still.width, this.still.height);
    for (const stroke of this.strokes) this.#draw(context, stroke);
    this.#frame();
  }

  // Drawn once a frame however often the pointer moved.
  #frame() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      const { context, canvas } = this;
      context.clearRect(0, 0, canvas.width, canvas.height);
      if (canvas.width) context.drawImage(this.still, 0, 0);
      if (this.smoother) this.#draw(context, this.#stroke());
      if (this.cursor) this.#drawCursor(context);
    });
  }

  #draw(context, { points, width }) {
    const scale = this.canvas.width / PAPER;
    context.lineWidth = width * PEN * scale;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = "#111";
    context.beginPath();
    context.moveTo(points[0][0] * scale, points[0][1] * scale);
    for (const [x, y] of points) context.lineTo(x * scale, y * scale);
    context.stroke();
  }

  #drawCursor(context) {
    const scale = this.canvas.width / PAPER;
    const erases = this.tool === "eraser" || this.erasing;
    const radius = (erases ? ERASER * this.width : (PEN * this.width) / 2) * scale;
    context.beginPath();
    context.arc(this.cursor[0] * scale, this.cursor[1] * scale, radius, 0, 2 * Math.PI);
    context.lineWidth = 1.5 * devicePixelRatio;
    context.strokeStyle = "#767676";
    context.stroke();
  }
}
