// The details of a photo, in a dialog: what it is, its neighbours in the ranking, more like it.

import { photoUrl, spoken } from "./results.js";

const LARGEST = 3; // a small photo is enlarged so much, not more
const find = (id) => document.getElementById(id);

export class Details {
  constructor(more) {
    this.dialog = find("details");
    this.photo = find("details-photo");
    this.photo.addEventListener("load", () => {
      this.photo.style.maxWidth = `${LARGEST * this.photo.naturalWidth}px`;
    });
    find("more").addEventListener("click", () => {
      this.dialog.close();
      more(this.results.column, this.hit);
    });
    find("previous").addEventListener("click", () => this.#step(-1));
    find("next").addEventListener("click", () => this.#step(1));
    find("close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this.#step(step);
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close(); // beside the dialog
    });
    this.dialog.addEventListener("close", () => this.results.focus(this.hit));
  }

  open(results, hit) {
    this.results = results;
    this.hits = results.hits; // of now: answers may come while the dialog is open
    this.#show(hit);
    this.dialog.showModal();
    find("more").focus();
  }

  #show(hit) {
    this.hit = hit;
    const label = spoken(hit.class) || "Photo";
    find("details-title").textContent = label;
    this.photo.alt = label;
    this.photo.src = photoUrl(this.results.column, hit, 1024);
    const rank = `${hit.rank} of ${this.hits.length}`;
    const facts = { Class: spoken(hit.class) || "none", Rank: rank, Score: hit.score.toFixed(4), File: hit.path };
    const list = find("details-facts");
    list.replaceChildren();
    for (const [name, value] of Object.entries(facts)) {
      const [term, fact] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      fact.textContent = value;
      list.append(term, fact);
    }
    const at = this.hits.indexOf(hit);
    find("previous").disabled = at <= 0;
    find("next").disabled = at >= this.hits.length - 1;
  }

  #step(by) {
    const hit = this.hits[this.hits.indexOf(this.hit) + by];
    if (hit) this.#show(hit);
  }
}
