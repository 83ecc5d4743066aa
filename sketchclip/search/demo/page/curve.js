// Geometry of strokes. Coordinates are in units of the paper: 0 to 1000 on both axes.

export const PAPER = 1000;
export const PEN = 18; // width of a line of width 1
const STEP = 4; // distance of neighbouring points of a finished curve
const STILL = 1.5; // a pointer that moves less has not moved

// Follows a pointer. Slow movement is smoothed more than fast movement: jitter of a hand shows
// when it is slow, and a lag shows when it is fast.
export class Smoother {
  constructor(x, y) {
    this.raw = [[x, y]];
  }

  add(x, y) {
    const [px, py] = this.raw[this.raw.length - 1];
    const distance = Math.hypot(x - px, y - py);
    if (distance < STILL) return;
    const trust = Math.min(1, 0.4 + distance / 20);
    this.raw.push([px + (x - px) * trust, py + (y - py) * trust]);
  }

  end(x, y) {
    const [px, py] = this.raw[this.raw.length - 1];
    if (Math.hypot(x - px, y - py) >= STILL) this.raw.push([x, y]);
  }

  // Quadratic curves between the middles of neighbours, as points close enough to look smooth.
  points() {
    const raw = this.raw;
    if (raw.length < 3) return dense(raw);
    const points = [raw[0]];
    let from = raw[0];
    for (let i = 1; i < raw.length - 1; i++) {
      const to = i === raw.length - 2 ? raw[i + 1] : middle(raw[i], raw[i + 1]);
      quadratic(points, from, raw[i], to);
      from = to;
    }
    return points;
  }
}

function middle(a, b) {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

// A polyline with points as close as those of a curve, so that an eraser can cut it anywhere.
export function dense(corners) {
  const points = [corners[0]];
  for (let i = 1; i < corners.length; i++) {
    quadratic(points, corners[i - 1], middle(corners[i - 1], corners[i]), corners[i]);
  }
  return points;
}

function quadratic(points, a, b, c) {
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) + Math.hypot(c[0] - b[0], c[1] - b[1]);
  const parts = Math.max(1, Math.ceil(length / STEP));
  for (let i = 1; i <= parts; i++) {
    const t = i / parts;
    const s = 1 - t;
    points.push([
      s * s * a[0] + 2 * s * t * b[0] + t * t * c[0],
      s * s * a[1] + 2 * s * t * b[1] + t * t * c[1],
    ]);
  }
}

// What an eraser of some radius leaves of the strokes when it moves from a to b. Strokes it
// touches are cut, so a drawing stays strokes and is rendered as the training sketches were.
export function erase(strokes, a, b, radius) {
  let changed = false;
  const left = strokes.flatMap((stroke) => {
    const reach = radius + stroke.width * PEN / 2;
    const parts = [];
    let part = [];
    for (const point of stroke.points) {
      if (distance(point, a, b) < reach) {
        if (part.length) parts.push(part);
        part = [];
      } else {
        part.push(point);
      }
    }
    if (part.length === stroke.points.length) return [stroke];
    changed = true;
    if (part.length) parts.push(part);
    return parts.filter((p) => p.length > 1).map((points) => ({ points, width: stroke.width }));
  });
  return changed ? left : strokes;
}

function distance(p, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = dx * dx + dy * dy;
  const t = length ? Math.min(1, Math.max(0, ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length)) : 0;
  return Math.hypot(p[0] - a[0] - t * dx, p[1] - a[1] - t * dy);
}
