// Undo a code's percent-encoding, recognise its format, and refuse a visibly damaged one.

const LONGEST_CODE = 4096;
const LONGEST_OPAQUE_CODE = 16384;
const MOST_LAYERS = 8;
const SHORTEST_CODE = 6;
const IDENTITY_SERVER = /[0-9A-F]{64}(?:-[0-9]{1,3})?|[0-9a-f]{64}(?:-[0-9]{1,3})?|[A-Za-z0-9_-]{43}/;
const NOT_IN_ANY_CODE = /[^ -~]/;
const ACCIDENT = /[^!-~]|["%<>\\`]/;
const HEX_AND_MORE = /^(?:[0-9A-F]{64}|[0-9a-f]{64})(?=[^0-9A-Fa-f])/;
const HEX_AROUND = /^(?:([0-9A-F]*)[^0-9A-Fa-f][0-9A-F]*|([0-9a-f]*)[^0-9A-Fa-f][0-9a-f]*)$/;
const ESCAPES = /%[ \n]*[0-9A-Fa-f][ \n]*[0-9A-Fa-f](?:%[ \n]*[0-9A-Fa-f][ \n]*[0-9A-Fa-f])*/g;

// Undo one layer. In a code, "+" never means a space.
function percentDecode(text) {
  return text.replace(ESCAPES, (run) => {
    const digits = run.replace(/[% \n]/g, "");
    const bytes = [];
    for (let at = 0; at < digits.length; at += 2) bytes.push(parseInt(digits.slice(at, at + 2), 16));
    return decodeUtf8(bytes);
  });
}

// [code, layers]; an opaque code is decoded exactly once.
function decode(raw, codeFormat = null) {
  const most = codeFormat === "opaque" ? 1 : MOST_LAYERS;
  for (let layers = 0; layers < most; layers += 1) {
    const decoded = percentDecode(raw);
    if (decoded === raw) return [raw, layers];
    raw = decoded;
  }
  return [raw, most];
}

// A code percent-encoded once: the form for OrmcoDigital's dialog.
function dialogForm(code) {
  return encodeURIComponent(code).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

function recognise(code) {
  if (looksClassic(code) || (code.includes("!") && !isForeign(code))) return "dotnetopenauth";
  return matchesWhole(IDENTITY_SERVER, code) ? "identityserver" : "unknown";
}

// {format, complete}, where complete is null if that cannot be determined; throws for a damaged code.
function checkCode(code, codeFormat = null) {
  const opaque = codeFormat === "opaque";
  const longest = opaque ? LONGEST_OPAQUE_CODE : LONGEST_CODE;
  const mayBeClassic = code.length <= longest && (codeFormat === null || codeFormat === "dotnetopenauth");
  if (mayBeClassic && isWholeClassic(code)) return { format: "dotnetopenauth", complete: true };
  const found = codeFormat || recognise(code);
  refuseDamage(code, found, longest);
  return { format: opaque ? "unknown" : found, complete: null };
}

function refuseDamage(code, codeFormat, longest) {
  if (code.length > longest) throw damaged("code_too_long", code, { longest });
  if (codeFormat === "dotnetopenauth") throw damageIn(code);
  const opaque = codeFormat === "opaque";
  const wrong = code.search(opaque ? NOT_IN_ANY_CODE : ACCIDENT);
  if (wrong >= 0) throw damaged("forbidden_character", code, { position: wrong });
  const position = opaque || matchesWhole(IDENTITY_SERVER, code) ? null : breakInHex(code);
  if (position !== null) throw damaged("foreign_at", code, { position });
  if (code.length < SHORTEST_CODE && !opaque) throw damaged("too_short", code);
}

function breakInHex(code) {
  const whole = HEX_AND_MORE.exec(code);
  if (whole) return whole[0].length;
  const parts = code.length === 65 ? HEX_AROUND.exec(code) : null;
  return parts ? (parts[1] || parts[2] || "").length : null;
}
