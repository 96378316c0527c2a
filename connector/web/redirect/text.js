// Methods of Python's str that JavaScript's String lacks.

const WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

// Replace each character outside the basic plane, which no code contains, by one UTF-16 unit, so that lengths
// and positions are Python's: an invisible one (variation selector, tag) by U+2060, any other by U+FFFD.
function oneUnitEach(text) {
  return text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, (pair) => {
    const point = pair.codePointAt(0);
    const isInvisible = (point >= 0xe0000 && point < 0xe0080) || (point >= 0xe0100 && point < 0xe01f0);
    return isInvisible ? "\u2060" : "\ufffd";
  });
}

function splitWords(text) {
  return text.split(WHITE_SPACE).filter((word) => word !== "");
}

function trimStart(text, characters) {
  let start = 0;
  while (start < text.length && characters.includes(text[start])) start += 1;
  return text.slice(start);
}

function trimEnd(text, characters) {
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1])) end -= 1;
  return text.slice(0, end);
}

function trim(text, characters) {
  return trimEnd(trimStart(text, characters), characters);
}

// [before, separator, after], as str.partition.
function partition(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, "", ""] : [text.slice(0, at), separator, text.slice(at + separator.length)];
}

function removePrefix(text, prefix) {
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}

function matchesWhole(pattern, text) {
  return new RegExp(`^(?:${pattern.source})$`, pattern.flags).test(text);
}

function matchAtStart(pattern, text) {
  return new RegExp(`^(?:${pattern.source})`, pattern.flags).exec(text);
}

// The first match at or after an index, or null.
function searchFrom(pattern, text, start) {
  const search = new RegExp(pattern.source, `${pattern.flags}g`);
  search.lastIndex = start;
  return search.exec(text);
}

function countOf(text, character) {
  return text.split(character).length - 1;
}

function decodeUtf8(bytes) {
  return oneUnitEach(new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(bytes)));
}
