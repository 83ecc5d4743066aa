// Undo and redo over immutable states. A state is what is asked:
// {strokes: [{points: [[x, y], ...], width}], picture: data URL or null, like: photo or null}

export const EMPTY = Object.freeze({ strokes: [], picture: null, like: null });
const DEPTH = 200;

export class History {
  #past = [];
  #future = [];
  state = EMPTY;

  push(state) {
    this.#past.push(this.state);
    if (this.#past.length > DEPTH) this.#past.shift();
    this.#future = [];
    this.state = state;
  }

  undo() {
    if (!this.canUndo) return;
    this.#future.push(this.state);
    this.state = this.#past.pop();
  }

  redo() {
    if (!this.canRedo) return;
    this.#past.push(this.state);
    this.state = this.#future.pop();
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }
}
