// Decide which of the words after code= belong to the code; see wrapping.py.

const TRIM = ".,;…";
const TRIM_AFTER = `${TRIM}'`;
const QUOTES_AND_BRACKETS = /["'()[\]]/g;
const EDGES = `${TRIM}"'\`<>(){}[]«»‹›‘’‚‛“”„‟`;
const WORD = /^(?:[A-Za-z]?[a-z]*|[A-Z]{4,}|[a-z]+-[a-z]+|[0-9]{5,}|[-_]+|[A-Za-z]+[.,;…]+)$/;
const PUNCTUATION = "()',;:!?…*$";
const PART = /^[A-Za-z0-9_\-+/.~%!$&'()*,;:@=]+$/;
const CLASSIC_PART = /^[A-Za-z0-9_\-+/.~%]+=*$/;
const ESCAPE = /%(?:[ \n]*2[ \n]*5){0,8}[ \n]*[0-9A-Fa-f][ \n]*[0-9A-Fa-f]/g;
const LONGEST_HEX = 70;
const FULL_LINE = 16;
const SHORTEST_SENTENCE = 4;
const QUOTED_PRINTABLE = "3D";

// [code, layers]: the code with all white space and percent-encoding undone.
function findCode(value, codeFormat, more, enclosed = false) {
  const layers = decode(value, codeFormat)[1];
  // A code of a known format has no quotes or brackets of its own; the text after them is not part of it.
  const known = decodedWords(value.replace(QUOTES_AND_BRACKETS, BREAK), layers).map((word) => trim(word, EDGES));
  const joined = known.join("");
  if ((codeFormat === null || codeFormat === "dotnetopenauth") && looksClassic(joined)) {
    return [withoutMailMark(more ? joined : classicOf(known, joined)), layers];
  }
  const found = otherOf(decodedWords(value, layers), more || enclosed);
  if (codeFormat === "opaque") return [found, layers];
  return [withoutMailMark(identityServerOf(more ? [joined] : known) || found), layers];
}

function withoutSentence(value) {
  return otherOf(wordsOf(value, ""), false);
}

// Whether a text contains words of a sentence, or no white space at all.
function hasSentence(text) {
  const words = splitWords(text);
  if (words.length < 2 || isWord(words.at(-1))) return true;
  return words.some((word) => word.length >= SHORTEST_SENTENCE && isWord(word));
}

function wordsOf(text, around) {
  const part = text.split(BREAK).find((one) => trim(one, `${TRIM} \n`));
  const words = part === undefined ? [] : splitWords(part);
  if (words.length) words[0] = trimStart(words[0], around);
  return words.filter((word) => word !== "");
}

// Split a value at its white space, then decode its words, so that encoded white space stays inside.
function decodedWords(value, layers) {
  const joined = value.replace(ESCAPE, (escape) => splitWords(escape).join(""));
  let words = wordsOf(joined, "…");
  for (let layer = 0; layer < layers; layer += 1) words = words.map(percentDecode);
  // When a wrapped address is opened, it contains encoded line ends and marks.
  return words.map((word) => splitWords(oneForm(word)).join(""));
}

function isWord(text) {
  return WORD.test(trim(text, PUNCTUATION));
}

// Remove the 3D that quoted-printable adds after the "=", if a code of a known format follows it.
function withoutMailMark(code) {
  if (!code.startsWith(QUOTED_PRINTABLE)) return code;
  const rest = code.slice(QUOTED_PRINTABLE.length);
  const isKnown = rest.indexOf("!") === USUAL_HANDLE || recognise(rest) === "identityserver";
  return isKnown ? rest : code;
}

// A code that contains its length, cut to that length, damaged or not.
function classicOf(all, joined) {
  const words = withWholeHandle(all);
  const length = expectedLength(joined);
  if (length === null) return runOf(words);
  let size = 0;
  for (const [index, word] of words.entries()) {
    const trimmed = trimEnd(word, TRIM);
    if (index && !CLASSIC_PART.test(trimmed)) break;
    if (size + trimmed.length === length) {
      if (isSentence(words, index)) break;
      return joined.slice(0, length) + extraOf(words, index);
    }
    size += word.length;
    if (size > length) break;
  }
  return twiceOf(words[0], length) || emphasizedOf(words[0]) || runOf(words, length);
}

function withWholeHandle(words) {
  let begin = "";
  for (const [index, word] of words.entries()) {
    begin += word;
    if (word.includes("!") || looksClassic(begin)) return [begin, ...words.slice(index + 1)];
  }
  return words;
}

// The single last part after a wrapped code that is not a word: an addition to the code.
function extraOf(words, index) {
  const rest = words.slice(index + 1);
  return index && rest.length === 1 && !isWord(rest[0]) ? trimEnd(rest[0], TRIM) : "";
}

// A single copy of a code that was pasted several times in a row.
function twiceOf(word, length) {
  const code = word.slice(0, length);
  return word.length > length && code.repeat(Math.floor(word.length / length)) === word ? code : null;
}

// A code between underscores, Markdown's emphasis, without them.
function emphasizedOf(word) {
  const marks = /^_{1,3}(?=.*_$)/.exec(word);
  const inner = marks ? word.slice(marks[0].length, word.length - marks[0].length) : "";
  return inner.indexOf("!") === USUAL_HANDLE && isWholeClassic(inner) ? inner : null;
}

// The words that look like one code, up to and including the one that reaches a length.
function runOf(words, below = Infinity) {
  let run = words[0];
  for (const word of words.slice(1)) {
    if (run.length >= below || WORD.test(word) || !CLASSIC_PART.test(word)) break;
    run += word;
  }
  return trimEnd(run, TRIM);
}

// Whether a code of the exact length was completed by a word of a sentence.
function isSentence(words, index) {
  let begin = index + 1;
  while (begin > 1 && WORD.test(words[begin - 1])) begin -= 1;
  const letters = trimEnd(words.slice(begin, index + 1).join(""), TRIM);
  const following = words[index + 1];
  if (begin > 2 && following === undefined) return false;
  if (letters.length >= SHORTEST_SENTENCE) {
    const lines = new Set(words.slice(1, begin).map((word) => word.length));
    return !(lines.size === 1 && [...lines][0] >= FULL_LINE);
  }
  return letters !== "" && following !== undefined && WORD.test(following);
}

// The IdentityServer code at the beginning of the words, or "".
function identityServerOf(words) {
  let joined = "";
  let found = "";
  for (const word of words) {
    joined += word;
    if (joined.length > LONGEST_HEX) break;
    const trimmed = trimEnd(joined, TRIM_AFTER);
    if (WHOLE_HEX.test(trimmed)) found = trimmed;
  }
  return found;
}

// A value of unknown form.
function otherOf(words, more) {
  if (more) return words.join("");
  return trimEnd(words.slice(0, endOfValue(words)).join(""), TRIM_AFTER);
}

// The number of parts of a value of unknown form: most of them must not be words.
function endOfValue(words) {
  let end = 1;
  let strange = 0;
  for (let count = 1; count < words.length && PART.test(words[count]); count += 1) {
    const isStrange = !isWord(words[count]);
    strange += isStrange ? 1 : 0;
    const isLong = words[count].length >= 4 || count === words.length - 1;
    if (isStrange && strange * 2 > count && isLong) end = count + 1;
  }
  return end;
}
