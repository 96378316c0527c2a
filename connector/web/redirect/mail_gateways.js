// Undo the link rewriting of mail gateways, calendars and chats. The services are in mail_gateways.json.

// Represents a character that no address contains: a quote, a bracket, the edge of a restored link.
const BREAK = '"';
const MOST_LINKS = 32;
const GOOGLE = "google(?:\\.[a-z]{2,3}){1,2}";
const PLAIN_LINK = /^(?:https?:|www\.)/i;
const VALUE_END = /[&#][^ \n]*/;
const PROOFPOINT_V3 = /^\/v3\/__([\s\S]+?)__;([A-Za-z0-9_\-= \n]*)![^ \n]*/;
const V3_RUNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const UNDERSCORED_LINK = /___([\s\S]+?)___[^ \n]*/;
const LAST_IN_PATH = /\/(https?(?::|%3A)[\s\S]*)/i;
const HALF_ENCODED = /^(https?)%3A\/(?!%)/i;

const GATEWAYS = TABLES.mail_gateways;
const GATEWAY_NAMES = [...Object.keys(GATEWAYS.parameters), ...GATEWAYS.paths];
const GATEWAY_HOSTS = [GOOGLE, ...GATEWAY_NAMES.map((name) => name.replace(/[.\-]/g, "\\$&"))].join("|");
const GATEWAY_LINK = new RegExp(
  `(?<![\\w.\\-@/=:%])(?:https?://)?((?:[\\w\\-]+\\.)*(?:${GATEWAY_HOSTS}))(?::[0-9]+)?` +
    `([/?](?:(?![ \\n]https?://)[^${BREAK}])*)`,
  "gi",
);

// Replace every rewritten link by its real address; undo the rewriting of one service only.
function restoreLinks(text) {
  const lower = text.toLowerCase();
  if (!["google.", ...GATEWAY_NAMES].some((name) => lower.includes(name))) return text;
  let restored = 0;
  return text.replace(GATEWAY_LINK, (link, host, tail) => {
    restored += 1;
    if (restored > MOST_LINKS) return link;
    const inner = addressInside(host.toLowerCase(), tail);
    return inner === null ? link : `${BREAK}${inner}${BREAK}`;
  });
}

// The name of the service if its links do not contain the real address, else undefined.
function opaqueLinkService(host) {
  const found = Object.entries(GATEWAYS.opaque).find(([end]) => isAt(host, end));
  return found && found[1];
}

function addressInside(host, tail) {
  if (GATEWAYS.paths.some((end) => isAt(host, end))) return fromPath(tail);
  return tail.startsWith("/v3/") ? fromProofpointV3(tail) : fromParameter(host, tail);
}

function fromParameter(host, tail) {
  const known = Object.entries(GATEWAYS.parameters).find(([end]) => isAt(host, end));
  const found = new RegExp(`[?&](?:${known ? known[1] : "q|url"})=[ \\n]*`).exec(tail);
  if (!found) return null;
  let value = tail.slice(found.index + found[0].length);
  if (PLAIN_LINK.test(value)) return value;
  let rest = "";
  const end = VALUE_END.exec(value);
  if (end) [value, rest] = [value.slice(0, end.index), value.slice(end.index + end[0].length)];
  if (isAt(host, "protection.sophos.com")) return fromBase64(percentDecode(value)) + BREAK + rest;
  if (tail.startsWith("/v2/")) value = value.replace(/[-_]/g, (sign) => (sign === "-" ? "%" : "/"));
  return percentDecode(value) + BREAK + rest;
}

// Some characters are kept separately, in base64; a "*" stands for each of them, "**A" for two, and so on.
function fromProofpointV3(tail) {
  const found = PROOFPOINT_V3.exec(tail);
  if (!found) return null;
  const kept = [...fromBase64(found[2])];
  const address = found[1].replace(/\*(?:\*([A-Za-z0-9_-]))?/g, (_, run) =>
    kept.splice(0, run ? V3_RUNS.indexOf(run) + 2 : 1).join(""),
  );
  return address + BREAK + tail.slice(found[0].length);
}

function fromPath(tail) {
  const underscored = UNDERSCORED_LINK.exec(tail);
  const found = underscored || LAST_IN_PATH.exec(tail);
  if (!found) return null;
  const rest = underscored ? tail.slice(found.index + found[0].length) : "";
  const inner = found[1].replace(HALF_ENCODED, "$1:/");
  return (PLAIN_LINK.test(inner) ? inner : percentDecode(inner)) + BREAK + rest;
}

// Invalid base64 gives ""; characters outside its alphabet are skipped.
function fromBase64(value) {
  const letters = value.replace(/-/g, "+").replace(/_/g, "/").replace(/[^A-Za-z0-9+/]/g, "");
  if (letters.length % 4 === 1) return "";
  return decodeUtf8([...atob(letters)].map((character) => character.charCodeAt(0)));
}

function isAt(host, end) {
  return host === end || host.endsWith(`.${end}`);
}
