/** Colours for code. The highlighter and each language are loaded when the first code of that kind is there. */

// .ci/vendor brings exactly these.
const LANGUAGES = new Set([
  "bash", "c", "cpp", "csharp", "css", "diff", "dockerfile", "go", "ini", "java", "javascript", "json", "kotlin", "php",
  "python", "ruby", "rust", "shell", "sql", "swift", "typescript", "xml", "yaml",
]);
const ALSO = {
  "c#": "csharp", "c++": "cpp", console: "shell", cs: "csharp", docker: "dockerfile", golang: "go", h: "c", hpp: "cpp",
  htm: "xml", html: "xml", js: "javascript", jsx: "javascript", kt: "kotlin", mjs: "javascript", patch: "diff",
  py: "python", rb: "ruby", rs: "rust", sh: "bash", svg: "xml", toml: "ini", ts: "typescript", tsx: "typescript",
  yml: "yaml", zsh: "bash",
};
// Longer code stays plain: colouring it would stop the page for a moment.
const LONGEST = 30_000;

const loading = new Map();

/** Return code as HTML with colours, or "" where the language is unknown or could not be loaded. */
export async function highlight(name, code) {
  const wanted = ALSO[name.toLowerCase()] ?? name.toLowerCase();
  if (!LANGUAGES.has(wanted) || code.length > LONGEST) return "";
  try {
    if (!loading.has(wanted)) loading.set(wanted, load(wanted));
    const hljs = await loading.get(wanted);
    return hljs.highlight(code, { language: wanted, ignoreIllegals: true }).value;
  } catch {
    loading.delete(wanted); // perhaps the next time
    return "";
  }
}

async function load(name) {
  const [{ default: hljs }, { default: grammar }] = await Promise.all([
    import("../../vendor/highlight/core.min.js"),
    import(`../../vendor/highlight/languages/${name}.min.js`),
  ]);
  hljs.registerLanguage(name, grammar);
  return hljs;
}
