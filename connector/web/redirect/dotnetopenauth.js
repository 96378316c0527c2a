// The structure of a DotNetOpenAuth code, and the damage of an incomplete one; see dotnetopenauth.py.

const USUAL_HANDLE = 4;

const HANDLE = /(?:[A-Za-z0-9]{5,}\.)?[A-Za-z0-9_-]+/;
const LETTER = /[A-Za-z0-9_\-+/]/;
const LOW_BITS_CLEAR = /[AEIMQUYcgkosw048]/;
const SIZE_AT = 48;
const WHOLE_CLASSIC = new RegExp(
  `^${HANDLE.source}!IAAAA[A-P]${LETTER.source}{42}${LOW_BITS_CLEAR.source}[QRS]${LOW_BITS_CLEAR.source}` +
    `AAA[E-H]${LETTER.source}+$`,
);
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SMALLEST = 33;
const LARGEST = 8192;
const LAST_LETTERS = { 2: "AQgw", 3: "AEIMQUYcgkosw048" };
const LETTERS_OF_A_CODE = 24;

const CLASSIC_BEGINS = /^[A-Za-z0-9_.-]{1,64}!+(?:[Ii]?[Aa]{2}|[A-Za-z0-9_\-+/]{20})/;
const NO_BANG = /^([A-Za-z0-9_.-]{4}|[A-Za-z0-9_.-]{1,40}?)[^A-Za-z0-9]?(?:25){0,8}(?:2?1|2)?IA{3}/;
const NOT_IN_CLASSIC = /[^A-Za-z0-9_.\-!+/=% \n]/;
const CLASSIC_RUN = new RegExp(`${LETTER.source}{40}`);
const HEAD = [
  ...[..."IAAAA"].map((letter) => new RegExp(`^${letter}$`)),
  /^[A-P]$/,
  ...Array(42).fill(/^[A-Za-z0-9_\-+/]$/),
  /^[AEIMQUYcgkosw048]$/,
  /^[QRS]$/,
  /^[AEIMQUYcgkosw048]$/,
  ...Array(3).fill(/^A$/),
  /^[E-H]$/,
];
const FIELD = /([AEIMQUYcgkosw048][QRS])([AEIMQUYcgkosw048])AAA[E-H]/y;
const SHORT_FIELD = /([AEIMQUYcgkosw048]Q)(E?)A{1,3}[E-H]/y;

function isWholeClassic(code) {
  const payload = code.slice(code.indexOf("!") + 1);
  if (!WHOLE_CLASSIC.test(code) || code.length !== expectedLength(code)) return false;
  const last = LAST_LETTERS[payload.length % 4];
  return (last === undefined || last.includes(payload.at(-1))) && !lostItsCase(payload);
}

function looksClassic(text) {
  return (CLASSIC_BEGINS.test(text) || NO_BANG.test(text)) && !isForeign(text);
}

function isForeign(text) {
  return NOT_IN_CLASSIC.test(text) && !text.includes("!IA") && !CLASSIC_RUN.test(text);
}

// The number of characters of the complete code, or null if its length field cannot be read.
function expectedLength(code) {
  const start = code.indexOf("!") + 1;
  return start ? lengthWith(code.slice(start + SIZE_AT, start + SIZE_AT + 3), start) : null;
}

function lengthWith(letters, start) {
  const values = [...letters].map((letter) => ALPHABET.indexOf(letter));
  if (letters.length < 3 || values.includes(-1)) return null;
  const bits = (values[0] << 12) | (values[1] << 6) | values[2];
  const size = (bits >> 10) + (((bits >> 2) & 0xff) << 8);
  if (bits & 3 || size % 16 !== 1 || size < SMALLEST || size > LARGEST) return null;
  return start + Math.floor((4 * ((SIZE_AT * 3) / 4 + 4 + size) + 2) / 3);
}

function damageIn(code) {
  const bang = code.indexOf("!");
  if (bang < 1 || !matchesWhole(HANDLE, code.slice(0, bang))) return withoutHandle(code, bang);
  const payload = code.slice(bang + 1);
  if (lostItsCase(payload)) return damaged("lost_case", code);
  const broken = firstBreak(payload);
  if (broken !== null) return brokenAt(code, bang + 1 + broken, guessedLength(code));
  const expected = expectedLength(code);
  if (expected === null) return damaged("cut_in_head", code);
  return ofAnotherLength(code, expected);
}

function lostItsCase(payload) {
  const hasBoth = /[a-z]/.test(payload) && /[A-Z]/.test(payload);
  return !hasBoth && new Set(payload).size > LETTERS_OF_A_CODE;
}

function ofAnotherLength(code, expected) {
  const missing = expected - code.length;
  if (missing === 0) return brokenAt(code, code.length - 1, expected);
  if (missing < 0) {
    const reason = missing < -1 ? "too_long" : "too_long_by_one";
    return damaged(reason, code, { expected, position: expected, extra: -missing });
  }
  return damaged(missing > 1 ? "cut_short" : "cut_short_by_one", code, { expected, missing });
}

function firstBreak(payload) {
  for (let index = 0; index < Math.min(payload.length, HEAD.length); index += 1) {
    if (!HEAD[index].test(payload[index])) return index;
  }
  const letters = payload.slice(SIZE_AT, SIZE_AT + 3);
  if (letters.length === 3 && lengthWith(letters, 0) === null) return SIZE_AT;
  const strange = payload.search(/[^A-Za-z0-9_\-+/]/);
  return strange < 0 ? null : strange;
}

function guessedLength(code) {
  const start = code.indexOf("!") + 1;
  for (const pattern of [FIELD, SHORT_FIELD]) {
    for (const shift of [0, -1, 1, -2, 2, -3, 3, -4, 4]) {
      pattern.lastIndex = Math.max(start, start + SIZE_AT + shift);
      const found = pattern.exec(code);
      const expected = found ? lengthWith(found[1] + (found[2] || "A"), start) : null;
      if (expected !== null) return expected;
    }
  }
  return null;
}

function brokenAt(code, position, expected) {
  let reason = LETTER.test(code[position]) ? "broken_at" : "foreign_at";
  if (expected !== null && expected !== code.length) reason += "_with_length";
  return damaged(reason, code, { expected, position });
}

function withoutHandle(code, bang) {
  if (bang === 0) return damaged("no_handle", code, { position: 0 });
  const found = bang < 0 ? NO_BANG.exec(code) : null;
  if (found) {
    const position = found[1].length;
    const reason = position > 1 ? "bang_missing" : "bang_missing_after_one";
    return damaged(reason, code, { position, count: position });
  }
  const strange = code.search(/[^A-Za-z0-9_-]/);
  return strange < 0 ? damaged("no_bang", code) : damaged("foreign_at", code, { position: strange });
}
