// Turn a redirect URL, or a text that a person copied, into a validated authorization response, by the
// same steps as connector.parse_redirect.

const LONGEST_TEXT = 65536;
const LEGAL = "A-Za-z0-9\\-._~%!$&'()*+,;=:@/";
const PLAIN_ADDRESS = new RegExp(
  `^[ \\t\\r\\n]*[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9.\\-]+|\\[[0-9A-Fa-f:.]+\\])(?::[0-9]+)?(?:/[${LEGAL}]*)?` +
    `(?:\\?([${LEGAL}?]*))?(?:#([${LEGAL}?]*))?[ \\t\\r\\n]*$`,
);
// "&amp;state=…" is HTML, not a parameter of that name.
const HTML_ENTITY = /&(?:#|[A-Za-z][A-Za-z0-9]*;)/;
// Two addresses in a row, or one inside the other, are not a plain address.
const NESTED = /:\/\/|[?&](?:code|error|state)=/i;
const AROUND = ".,;!?'()";

// {code, dialogCode, format, complete, layers, state, handle}; throws a Refusal.
function parseRedirect(text, { redirectUri, landingHosts = [], codeFormat = null }) {
  text = oneUnitEach(text);
  if (text.length > LONGEST_TEXT) {
    throw new Refusal("text_too_long", { longest: LONGEST_TEXT.toLocaleString("en-US") });
  }
  const values = parametersIn(text, redirectUri, landingHosts);
  const parsed =
    (values && readAddress(values, codeFormat)) ||
    readText(text, new RedirectTarget(redirectUri, landingHosts), codeFormat);
  const handle = parsed.format === "dotnetopenauth" ? parsed.code.indexOf("!") : USUAL_HANDLE;
  return { ...parsed, dialogCode: dialogForm(parsed.code), handle };
}

// The raw parameters of a plain redirect URL with a code, if each parameter occurs once; else null.
function parametersIn(text, redirectUri, furtherHosts) {
  const address = PLAIN_ADDRESS.exec(text);
  const target = PLAIN_ADDRESS.exec(redirectUri);
  if (!address || !target || HTML_ENTITY.test(text)) return null;
  const bareHost = (host) => removePrefix(host.toLowerCase(), "www.");
  const values = new Map();
  for (const part of `${address[2] ?? ""}&${address[3] ?? ""}`.split("&")) {
    const [name, , value] = partition(part, "=");
    if (values.has(name)) return null;
    if (name) values.set(name, value);
  }
  const isOurs = [target[1], ...furtherHosts].map(bareHost).includes(bareHost(address[1]));
  if (!isOurs || !values.get("code") || values.has("error") || NESTED.test(values.get("code"))) return null;
  return values;
}

// Read the parameters of a plain address; null if the text needs the full parser.
function readAddress(values, codeFormat) {
  if (/[.,;']$/.test(values.get("state") ?? "")) return null; // the end of a sentence
  const [code, layers] = decode(values.get("code"), codeFormat);
  let checked;
  try {
    checked = checkCode(code, codeFormat);
  } catch {
    return null;
  }
  let state = values.get("state") ?? "";
  const isOpen = checked.complete === null || code.startsWith("3D");
  if (isOpen && mayBeSurrounded(code, state, codeFormat)) return null;
  for (let layer = 0; layer < Math.max(1, layers); layer += 1) state = percentDecode(state);
  return { code, layers, state: state || null, ...checked };
}

// Whether an unchecked code may have text around it that a mail or a sentence added.
function mayBeSurrounded(code, state, codeFormat) {
  if (code.startsWith("3D") && (codeFormat !== "opaque" || state.startsWith("3D"))) {
    return recognise(code) !== "identityserver";
  }
  const hasEdges = !/^[A-Za-z0-9](?:.*[A-Za-z0-9])?$/.test(code);
  if (codeFormat === "opaque" || !hasEdges) return false;
  return recognise(code) === "unknown" && recognise(trim(code, AROUND)) !== "unknown";
}

function readText(text, target, codeFormat) {
  const { parameters, ...parsed } = readPaste(text, target, codeFormat);
  if (!parsed.code) {
    throw providerError(parameters.get("error") ?? "", parameters.get("error_description") ?? "");
  }
  return { ...parsed, state: parameters.get("state") || null };
}
