/**
 * Read what a turn waits for, as a person can judge it: {tool, args: [[name, text]]} for a tool that is to be used,
 * {tool: "", args: [], text} for anything else.
 */
export function readQuestion(value) {
  if (typeof value?.tool !== "string") return { tool: "", args: [], text: plain(value) };
  return { tool: value.tool, args: Object.entries(value.args ?? {}).map(([name, arg]) => [name, plain(arg)]), text: "" };
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}
