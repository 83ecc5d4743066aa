// Photos of an answer: tiles that stay where their photo stays, one Tab stop, arrow keys inside.

export function photoUrl(column, hit, side = 320) {
  return `photo/${column}/${encodeURIComponent(hit.id)}?side=${side}`;
}

export function spoken(name) {
  return name ? name.replaceAll("_", " ") : "";
}

export class Results {
  constructor(column, name, chosen) {
    this.column = column;
    this.chosen = chosen;
    this.hits = [];
    this.tiles = new Map();
    this.section = document.createElement("section");
    this.section.className = "column";
    this.title = document.createElement("h3");
    this.title.textContent = name;
    this.list = document.createElement("ol");
    this.list.className = "tiles";
    this.list.setAttribute("aria-label", name);
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.section.append(this.title, this.list);
  }

  show(hits) {
    this.hits = hits;
    const tiles = new Map();
    for (const hit of hits) {
      const tile = this.tiles.get(hit.id) ?? this.#tile(hit);
      tile.hit = hit;
      const label = spoken(hit.class) || hit.path;
      tile.button.setAttribute("aria-label", `${hit.rank}. ${label}, score ${hit.score.toFixed(2)}`);
      tile.caption.textContent = label;
      tiles.set(hit.id, tile);
    }
    const focused = document.activeElement;
    const held = this.list.contains(focused);
    this.tiles = tiles;
    const items = [...tiles.values()].map((tile) => tile.item);
    // Only what changed is moved, so that pictures do not flicker and the focus stays.
    items.forEach((item, at) => {
      if (this.list.children[at] !== item) this.list.insertBefore(item, this.list.children[at] ?? null);
    });
    while (this.list.children.length > items.length) this.list.lastElementChild.remove();
    const buttons = this.#buttons();
    const stop = buttons.includes(focused) ? focused : buttons[0];
    for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
    if (held && document.activeElement !== stop) stop?.focus({ preventScroll: true });
  }

  #tile(hit) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const image = document.createElement("img");
    const caption = document.createElement("span");
    button.type = "button";
    button.className = "tile";
    image.alt = "";
    image.decoding = "async";
    image.addEventListener("error", () => button.classList.add("missing"));
    image.src = photoUrl(this.column, hit);
    caption.className = "caption";
    button.append(image, caption);
    item.append(button);
    const tile = { item, button, caption, hit };
    button.addEventListener("click", () => this.chosen(this, tile.hit));
    return tile;
  }

  #buttons() {
    return [...this.list.children].map((item) => item.firstElementChild);
  }

  focus(hit) {
    this.#stop(this.tiles.get(hit.id)?.button);
  }

  #stop(button) {
    if (!button) return;
    for (const other of this.#buttons()) other.tabIndex = other === button ? 0 : -1;
    button.focus();
  }

  #key(event) {
    const buttons = this.#buttons();
    const at = buttons.indexOf(document.activeElement);
    if (at < 0) return;
    const row = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const last = buttons.length - 1;
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row };
    const to = { ...moves, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to <= last) this.#stop(buttons[to]);
  }
}
