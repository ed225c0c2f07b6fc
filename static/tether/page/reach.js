/**
 * Which lines of a long conversation are in the document: a stretch of bounded length that moves with the reader.
 * Lines are known by their seq, so that others may come before and after them.
 */

const FIRST_LINES = 60;
const STEP_LINES = 50;
const MOST_LINES = 200;

export class Reach {
  #first = null; // seq of the first line shown; null: as many of the newest as fit
  #last = null; // seq of the last one; null: up to the newest

  /** Whether the newest line is among those shown. */
  get atEnd() {
    return this.#last === null;
  }

  reset() {
    this.#first = this.#last = null;
  }

  /** Return the lines to show. `follows`: the reader is at the end, so that what is far above may go. */
  of(lines, follows) {
    let [from, to] = this.#bounds(lines);
    if (from >= to && lines.length) {
      this.reset(); // what was shown is gone
      [from, to] = this.#bounds(lines);
    }
    if (to - from > MOST_LINES) {
      if (follows) from = to - MOST_LINES;
      else if (to - from > 2 * MOST_LINES) to = from + 2 * MOST_LINES;
    }
    this.#set(lines, from, to, follows);
    return lines.slice(from, to);
  }

  /** Show more of what is above. Returns whether there was any here. */
  up(lines) {
    const [from, to] = this.#bounds(lines);
    if (from === 0) return false;
    const start = Math.max(0, from - STEP_LINES);
    this.#set(lines, start, Math.min(to, start + MOST_LINES));
    return true;
  }

  /** Show more of what is below. Returns whether there was any. */
  down(lines) {
    const [from, to] = this.#bounds(lines);
    if (to === lines.length) return false;
    const end = Math.min(lines.length, to + STEP_LINES);
    this.#set(lines, Math.max(from, end - MOST_LINES), end);
    return true;
  }

  #bounds(lines) {
    const to = this.#last === null ? lines.length : lines.findLastIndex(({ seq }) => seq <= this.#last) + 1;
    if (this.#first === null) return [Math.max(0, to - FIRST_LINES), to];
    const found = lines.findIndex(({ seq }) => seq >= this.#first);
    return [found < 0 ? to : found, to];
  }

  #set(lines, from, to, follows = false) {
    this.#last = to < lines.length ? lines[to - 1].seq : null;
    const slides = follows && this.#first === null && this.#last === null;
    this.#first = slides ? null : (lines[from]?.seq ?? null);
  }
}
