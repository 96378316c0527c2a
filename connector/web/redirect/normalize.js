// Clean a text that a person copied: invisible marks, entities, mail encoding, quotes and brackets.

const MOST_ROUNDS = 8;
const SHORTEST_LINE = 16;
const LONGEST_LINE = 200;
const TRIM_LINE = `${BREAK}.,;…'`;

const ENTITY = /&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));/g;
const ANSI = /\x1b\[[0-9;?]*[@-~]/g;
const BREAK_TAG = /<(w?)br *\/?>/gi;
const ESCAPED = /\\([!#%&*+.=?_~-])/g;
const QUOTE_MARKS = /^[ \t]*>[> \t]*/gm;

const HAS_CODE = /code=|(?:!|%(?:25){0,8}21)IAA/i;
const SOFT_BREAK = /=[ \t]*\n/g;
const SOFT_BREAK_IN_CODE = /([A-Za-z0-9_%!-]{16})=[ \t]*\n(?=[A-Za-z0-9_%-])/g;
const NOT_MAIL_ENCODED = /=(?![0-9A-Fa-f]{2})/;
const MAIL_NAME = /([A-Za-z0-9_]+)=3[Dd]/g;
const USUAL_CODE =
  /=3[Dd](?:[A-Za-z0-9_-]{4}(?:!|%(?:25){0,8}21)|(?:[0-9A-F]{64}|[0-9a-f]{64})(?![0-9A-Fa-f]))/;
const NAMED_PARAMETER = /(?:\b|%(?:25){0,8}(?:3F|26|23))(?:code|error) *=/i;
const ENCODED_PARAMETER = /(?:\b|%(?:25){0,8}(?:3F|26|23))(?:code|error)%(?:25){0,8}3D/i;
const BEFORE_CONTROL = /[ \t-\r]+(?=[\x00-\x08\x0e-\x1f\x7f])/g;

const IPV6_OR_BRACKET = /\/\/\[[^[\] \n]*\]|\[[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[[\]]/g;
const VALUE_BEGINS = /(?:code|state)(?:=|%(?:25){0,8}3D)/i;
const WORD_ENDS = /([ \n"]+)/;
const EMPHASIS = /^(\*{1,3}|~~)(?![*~])/;
const EMPHASIS_END = /(?<![*~])(\*{1,3}|~~)(?=[.,;…]*$)/;
const UNDERSCORED = /^(_{1,3})((?:https?:|\?|code=).*)\1([.,;…]*)$/i;

const CONTROLS = characterClass(TABLES.characters.controls);
const INVISIBLE = characterClass(TABLES.characters.invisible);
const SPACES = characterClass(TABLES.characters.spaces);
const LINE_ENDS = characterClass(TABLES.characters.line_ends);
const QUOTES = new Set(TABLES.characters.quotes);

// [text, layers of percent-encoding around the whole address].
function normalize(text) {
  text = text.replace(ANSI, "").replace(BREAK_TAG, (_, soft) => (soft ? "" : "\n"));
  text = fromHtml(text).replace(/\r\n/g, "\n").replace(CONTROLS, "");
  text = fromMail(oneForm(text)).replace(ESCAPED, "$1").replace(QUOTE_MARKS, "");
  return fromLinks(withoutEmphasis(joinLines(withBreaks(text))));
}

// A text without invisible marks, and with its white space as spaces and line feeds.
function oneForm(text) {
  return text.replace(SPACES, " ").replace(LINE_ENDS, "\n").replace(INVISIBLE, "");
}

// The table's items are "00AD" or "2000-200A". Characters outside the basic plane are replaced before.
function characterClass(items) {
  const ranges = items
    .map((item) => item.split("-"))
    .filter(([first]) => first.length === 4)
    .map((edges) => edges.map((edge) => `\\u${edge}`).join("-"));
  return new RegExp(`[${ranges.join("")}]`, "g");
}

function fromHtml(text) {
  for (let round = 0; round < 3; round += 1) {
    const decoded = text.replace(ENTITY, characterOf);
    if (decoded === text) break;
    text = decoded;
  }
  return text;
}

// The character of an HTML entity; an unlisted name stays as it is.
function characterOf(entity, decimal, hexadecimal, name) {
  if (name) {
    const listed = Object.hasOwn(TABLES.characters.entities, name) && TABLES.characters.entities[name];
    return listed ? String.fromCharCode(parseInt(listed, 16)) : entity;
  }
  const point = decimal ? parseInt(decimal, 10) : parseInt(hexadecimal, 16);
  if (point >= 0x80 && point < 0xa0) {
    const character = new TextDecoder("windows-1252").decode(new Uint8Array([point]));
    return character.charCodeAt(0) < 0xa0 ? "\ufffd" : character;
  }
  const isCharacter =
    [9, 10, 13].includes(point) || (point >= 0x20 && point < 0xd800) || (point >= 0xe000 && point <= 0x10ffff);
  return isCharacter ? oneUnitEach(String.fromCodePoint(point)) : "\ufffd";
}

// Undo quoted-printable encoding in words that certainly have it.
function fromMail(text) {
  const joined = text.replace(SOFT_BREAK, "");
  const hasSoftBreaks = joined !== text;
  if (/=3d/i.test(joined)) {
    const words = joined.split(WORD_ENDS);
    const decoded = words.map((word) => (isMail(word, hasSoftBreaks) ? fromQuotedPrintable(word) : word));
    if (words.some((word) => isMail(word, hasSoftBreaks))) return oneForm(decoded.join(""));
  }
  return hasSoftBreaks ? text.replace(SOFT_BREAK_IN_CODE, "$1") : text;
}

function isMail(word, hasSoftBreaks) {
  if (!/=3d/i.test(word) || NOT_MAIL_ENCODED.test(word)) return false;
  // "code=3D…" may also be a code that begins with "3D".
  const names = new Set([...word.matchAll(MAIL_NAME)].map((found) => found[1]));
  return hasSoftBreaks || names.size > 1 || USUAL_CODE.test(word);
}

function fromQuotedPrintable(word) {
  return word.replace(/(?:=[0-9A-Fa-f]{2})+/g, (run) => {
    const bytes = run.split("=").slice(1);
    return decodeUtf8(bytes.map((byte) => parseInt(byte, 16)));
  });
}

// Replace each quote and bracket around an address, but not inside it, by a BREAK.
// Parentheses and the apostrophe are legal in an address (RFC 3986 section 2.2): a code may have its own.
function withBreaks(text) {
  text = [...text].map((character) => (QUOTES.has(character) ? BREAK : character)).join("");
  text = text.replace(IPV6_OR_BRACKET, (found) => (found.length > 1 ? found : BREAK));
  if (!/[()']/.test(text)) return text;
  const words = text.split(WORD_ENDS);
  let opened = 0;
  let isValue = false;
  for (let index = 0; index < words.length; index += 2) {
    const isWrapped = isValue && words[index - 1] === "\n";
    const [front, rest] = splitAtValue(words[index], isWrapped);
    isValue = isWrapped || rest !== "";
    opened = Math.max(0, opened + countOf(front, "(") - countOf(front, ")"));
    const end = endOfOwn(rest, opened, front.includes("'"));
    opened = Math.max(0, opened - countOf(rest.slice(end), ")"));
    words[index] = withoutBrackets(front) + rest.slice(0, end) + withoutBrackets(rest.slice(end));
  }
  return words.join("");
}

function splitAtValue(word, isWrapped) {
  const value = VALUE_BEGINS.exec(word);
  let start = value ? value.index + value[0].length : word.length;
  if (isWrapped) start = 0;
  return [word.slice(0, start), word.slice(start)];
}

// The end of the parentheses and apostrophes that belong to a value.
function endOfOwn(value, opened, quoted) {
  let own = 0;
  for (let index = 0; index < value.length; index += 1) {
    if (value[index] === "'" && quoted) return index;
    if (value[index] === "(") own += 1;
    if (value[index] === ")") {
      if (!own && opened) return index;
      own = Math.max(0, own - 1);
    }
  }
  return value.length;
}

function withoutBrackets(text) {
  return text.replace(/[()']/g, BREAK);
}

// Remove Markdown's emphasis: paired marks at the edges of words.
function withoutEmphasis(text) {
  const words = text.split(WORD_ENDS);
  const openAt = new Map();
  for (let index = 0; index < words.length; index += 2) {
    const begin = EMPHASIS.exec(words[index]);
    const end = EMPHASIS_END.exec(words[index]);
    if (begin) openAt.set(begin[1], index);
    const first = end ? openAt.get(end[1]) : undefined;
    if (first !== undefined && (index > first || end.index > end[1].length)) {
      words[index] = words[index].slice(0, end.index) + words[index].slice(end.index + end[0].length);
      openAt.delete(end[1]);
      words[first] = words[first].slice(end[1].length);
    }
    words[index] = words[index].replace(UNDERSCORED, "$2$3");
  }
  return words.join("");
}

// Remove the line ends in text that was wrapped at one width, so that its short last line is kept.
function joinLines(text) {
  const words = text.split(/([ \n]+)/);
  let first = 0;
  while (first < words.length - 2) {
    let last = first;
    while (words[first].length >= SHORTEST_LINE && isNextLine(words, first, last + 2)) last += 2;
    if (last > first) joinWords(words, first, last);
    first = last + 2;
  }
  return words.join("");
}

function isNextLine(words, first, index) {
  if (index >= words.length) return false;
  const sameForm = words[index - 1] === words[first + 1] && words[index].length === words[first].length;
  // The same line once more, or another response, is not the next line.
  if (!sameForm || words[index] === words[first]) return false;
  return !(HAS_CODE.test(words[index]) && HAS_CODE.test(words[first]));
}

// Join neighbours of one length, the end of the line before them, and the rest after them.
function joinWords(words, first, last) {
  const width = words[first].length;
  const between = words[first + 1];
  const next = last + 2 < words.length ? trimEnd(words[last + 2], TRIM_LINE) : "";
  if (last + 2 < words.length && words[last + 1] === between && next.length <= width) last += 2;
  let line = words.slice(Math.max(0, first - LONGEST_LINE), first).join("");
  if (line.endsWith(between)) line = line.slice(0, line.length - between.length);
  line = line.slice(line.lastIndexOf("\n") + 1);
  if (first && words[first - 1] === "\n" && between === "\n" && line.length === width) first -= 2;
  for (let index = first + 1; index < last; index += 2) words[index] = "";
}

function fromLinks(text) {
  let layers = 0;
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    let restored = restoreLinks(text);
    if (restored === text) {
      if (NAMED_PARAMETER.test(text) || !ENCODED_PARAMETER.test(text)) break;
      restored = percentDecode(text).replace(BEFORE_CONTROL, "");
      layers += 1;
    }
    text = withBreaks(oneForm(restored));
  }
  return [text, layers];
}
