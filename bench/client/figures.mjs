// Small figures: seeded words, quantiles.

/** Return a function giving the same sequence of numbers in [0, 1) for the same seed (mulberry32). */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Return `count` texts of exactly `length` characters. */
export function texts(seed, count, length) {
  const random = seeded(seed);
  const letter = () => "abcdefghijklmnopqrstuvwxyz "[Math.floor(random() * 27)];
  return Array.from({ length: count }, () => `m${Array.from({ length: length - 1 }, letter).join("")}`);
}

/** Return {count, p50, p90, p99, max} in ms, rounded to microseconds; nulls without samples. */
export function quantiles(samples) {
  const sorted = Float64Array.from(samples).sort();
  const at = (share) =>
    sorted.length ? Number(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(3)) : null;
  return { count: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
