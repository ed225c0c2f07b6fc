// The order of a run: JSON in a file that argv names, read once and deleted.
import { readFileSync, unlinkSync } from "node:fs";

export function readOrder() {
  const path = process.argv[2];
  const order = JSON.parse(readFileSync(path, "utf8"));
  unlinkSync(path);
  return order;
}
