// Find the responses in a normalized text: every code=, every error=, every code without a name.

const MOST_RESPONSES = 32;
const MOST_WRAPS = 12;
const MOST_PARAMETERS = 64;
const NAMED = /(?:(?<![A-Za-z0-9_.-])|(?<=%3F)|(?<=%26)|(?<=%23))(code|error)[ \n]*=/gi;
const BANG = "(?:!+|%[ \\n]*(?:2[ \\n]*5[ \\n]*){0,8}2[ \\n]*1)";
const BARE = `[ \\n]*${BANG}[ \\n]*(?:(?:[Ii][ \\n]*)?[Aa][ \\n]*[Aa]|[A-Za-z0-9_\\-]{20})`;
const BARE_CLASSIC = new RegExp(`(?<![A-Za-z0-9_.\\-])([A-Za-z0-9_.\\-]{1,64})(?=${BARE})`, "g");
const BARE_HEX =
  /(?<![A-Za-z0-9_-])(?:[0-9A-F]{64}|[0-9a-f]{64})(?=(?:-[0-9]{1,3})?(?![A-Za-z0-9_-]))/g;
const LINK = /(?<![=/:?&#])https?:\/\//i;
const KNOWN_HOST = "www\\.|(?:[\\w\\-]+\\.)*(?:3shape|3shapecommunicate|ormco|ormcodigital)\\.com";
const ANY_LINK = new RegExp(`https?://[^ \\n?#]+|(?<![\\w.@\\-])(?:${KNOWN_HOST})[^ \\n?#]*`, "gi");
const NEXT_RESPONSE = new RegExp(
  "(?<![&?])[ \\n](?:[^ \\n&]*(?<![A-Za-z0-9_])code[ \\n]*=" +
    `|(?:[^ \\n&]*[?#/])?(?:o?de)?=?[A-Za-z0-9_\\-]{4}${BANG}IAA)`,
  "i",
);
const PARAMETER = /[&#][ \n]*([A-Za-z_](?:[ \n]?[A-Za-z0-9_.-]){0,40})[ \n]?=/g;
const PARAMETER_ENDS = /[&#]/;
const LEFTOVER = /(?:^|(?<=[?&#/]))(?:c?o?d?e)?=$/i;
const LABEL = /^(?:|[\s\S]*[^A-Za-z0-9_])[A-Za-z]+:$/;
const WHOLE_HEX = /^(?:[0-9A-F]{64}|[0-9a-f]{64})(?:-[0-9]{1,3})?$/;
const UNKNOWN = /^(?=.*[0-9])(?=.*[A-Za-z])(?!.*\.[A-Za-z]{2,}(?:\/|$))[A-Za-z0-9_\-.~+/%]{16,}$/;
const REACH = /[ \n]*(?:[^ \n]{1,4}[ \n]+){0,4}[^ \n]*/;

// A list of {name, value, more, address, parameters, stray, enclosed}; see FoundResponse in find.py.
function findResponses(text, target) {
  const found = [];
  let previous = "";
  const segments = text.split(BREAK);
  segments.forEach((segment, index) => {
    if (found.length > MOST_RESPONSES || !trim(segment, " \n")) return;
    const inside = inSegment(segment, previous, target);
    if (inside.length === 1 && index > 0 && index < segments.length - 1) {
      inside[0].enclosed = !/[ \n]/.test(segment);
    }
    found.push(...inside);
    previous = segment;
  });
  return found.length ? found : hiddenIn(text).map((value) => response("code", value));
}

function addressesIn(text) {
  return [...text.matchAll(ANY_LINK)].slice(0, MOST_RESPONSES).map((link) => link[0]);
}

function response(name, value, more = false, address = "", parameters = [], stray = false) {
  return { name, value, more, address, parameters, stray, enclosed: false };
}

function inSegment(segment, previous, target) {
  const found = [];
  const taken = [];
  const isFull = () => found.length > MOST_RESPONSES;
  const isTaken = (start) => taken.some(([from, to]) => start >= from && start < to);
  for (const mark of segment.matchAll(NAMED)) {
    if (isFull()) return found;
    const end = mark.index + mark[0].length;
    taken.push([end, end + matchAtStart(REACH, segment.slice(end))[0].length]);
    found.push(named(mark[1].toLowerCase(), segment.slice(0, mark.index), segment.slice(end)));
  }
  for (const mark of segment.matchAll(BARE_CLASSIC)) {
    if (isFull()) return found;
    if (!isTaken(mark.index)) found.push(bare(segment, mark, previous, target));
  }
  // A text with this many hex numbers is not a response; each search takes time proportional to the text.
  let looks = 0;
  for (const mark of segment.matchAll(BARE_HEX)) {
    if (isFull() || looks > MOST_RESPONSES) return found;
    if (isTaken(mark.index)) continue;
    looks += 1;
    const one = bare(segment, mark, previous, target);
    if (!one.stray) found.push(one);
  }
  return found;
}

function named(name, before, after) {
  const front = frontOf(before);
  const [value, parameters] = splitQuery(after);
  let [address, , query] = partition(front, front.includes("?") ? "?" : "#");
  if (!query && address.includes("=")) [address, query] = ["", address];
  const earlier = query
    .split(/[?&#]/)
    .filter((part) => part.includes("="))
    .map((part) => partition(part, "="))
    .map(([key, , raw]) => [key, raw, true]);
  return response(name, value, parameters.length > 0, address, [...earlier, ...parameters]);
}

function bare(segment, mark, previous, target) {
  let [start, handle] = wholeHandle(segment, mark);
  const before = segment.slice(0, start);
  // "code=" without its "=".
  if (/^code[A-Za-z0-9_-]{4}$/i.test(handle)) start += 4;
  const [value, parameters] = splitQuery(segment.slice(start));
  const [address, isStray] = frontOfBare(frontOf(before), target);
  const stray = isStray || (handle.length < 4 && !mayEndHere(before, previous));
  return response("code", value, parameters.length > 0, address, parameters, stray);
}

// The start and the text of a handle that may itself be wrapped.
function wholeHandle(segment, mark) {
  let start = mark.index;
  let handle = mark[0];
  while (handle.length < 4) {
    const part = /[A-Za-z0-9_-]{1,3}[ \n]+$/.exec(segment.slice(Math.max(0, start - 40), start));
    if (!part) break;
    start -= part[0].length;
    handle = trimEnd(part[0], " \n") + handle;
  }
  return /^[A-Za-z0-9_-]{4}$/.test(handle) ? [start, handle] : [mark.index, mark[0]];
}

function mayEndHere(before, previous) {
  if (!before) return !/[A-Za-z0-9_-]$/.test(previous);
  return /(?:^|[ \n])(?:[A-Za-z]+[.,;:=]?[ \n]+|(?:c?o?d?e)?=)$/i.test(before.slice(-200));
}

// The address in front of a bare code, and whether other text is in front of it.
function frontOfBare(front, target) {
  const rest = trimEnd(front.replace(LEFTOVER, ""), ".,;…");
  if (!rest.includes("://") && (!rest || LABEL.test(rest))) return ["", false];
  const at = rest.search(/[?#]/);
  const [address, query] = at < 0 ? [rest, ""] : [rest.slice(0, at), rest.slice(at)];
  const isAddress = address.includes("://") || address.includes(".") || target.endsWith(address);
  return [address, !isAddress || !["", "?", "&", "#"].includes(query.slice(-1))];
}

// The part of an address in front of a code, across the white space of wrapped lines.
function frontOf(before) {
  const words = splitWords(before);
  let current = words.length && !" \n".includes(before.slice(-1)) ? words.pop() : "";
  let parts = "";
  for (const previous of words.slice(-MOST_WRAPS).reverse()) {
    if (continues(previous, parts + current)) {
      [current, parts] = [previous + parts + current, ""];
    } else if (isInsideQuery(previous, parts + current)) {
      parts = previous + parts;
    } else {
      break;
    }
  }
  const links = [...current.matchAll(new RegExp(LINK.source, "gi"))];
  return links.length ? current.slice(links.at(-1).index) : current;
}

function continues(previous, current) {
  const isBegin = /:\/\/|^www\.|^https?:?$|[?&%]/.test(previous);
  if (current.includes("://") || ",;".includes(previous.at(-1)) || !isBegin) return false;
  if (!current) return "?&#=".includes(previous.at(-1));
  if (previous.includes("?") && current.includes("?")) return false;
  const atEdge = "?&#/=%:.-".includes(current[0]) || "?&#/=%:.-_".includes(previous.at(-1));
  // The last part of a host, as in "https://evil.exa" and "mple/?code=…".
  const isHost = /:\/\/[^/?#]*$/.test(previous) && /^[A-Za-z0-9-]+[/?]/.test(current);
  return atEdge || isHost || (current.includes("&") && !current.includes("?"));
}

function isInsideQuery(previous, current) {
  return current.includes("&") && !current.includes("?") && /^[A-Za-z0-9_\-.~=]+$/.test(previous);
}

// The value at the beginning of a query, and the parameters after it.
function splitQuery(after) {
  for (const endOfResponse of [LINK, NEXT_RESPONSE]) {
    const found = searchFrom(endOfResponse, after, after.length - trimStart(after, " \n").length);
    if (found) after = after.slice(0, found.index);
  }
  const marks = [...after.matchAll(PARAMETER)].slice(0, MOST_PARAMETERS);
  const parameters = marks.map((mark, index) => {
    const end = index + 1 < marks.length ? marks[index + 1].index : after.length;
    const raw = after.slice(mark.index + mark[0].length, end).split(PARAMETER_ENDS)[0];
    return [mark[1].replace(/[ \n]/g, ""), raw, end !== after.length];
  });
  const value = marks.length ? after.slice(0, marks[0].index) : after;
  return [value.split(PARAMETER_ENDS)[0], parameters];
}

// Codes that are not marked as such: wrapped, without the "!", or of an unknown format.
function hiddenIn(text) {
  for (const segment of text.split(BREAK)) {
    if (WHOLE_HEX.test(trim(splitWords(segment).join(""), ".,;…=?"))) return [trim(segment, " \n=?")];
  }
  const words = splitWords(text.replaceAll(BREAK, " "));
  for (const word of words) {
    for (const part of word.split(/[/?=&#]/)) {
      if (part.length >= 40 && looksClassic(part)) return [part];
    }
  }
  const word = words.length === 1 ? trimEnd(trimStart(words[0], "=?&#"), ".,;…") : "";
  return UNKNOWN.test(word) ? [word] : [];
}
