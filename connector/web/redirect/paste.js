// Interpret a pasted text: return one code or an error, or refuse it with the reason.

const ONCE = new Set(["state", "iss", "scope", "session_state", "error", "error_description", "error_uri"]);

// {code, format, complete, layers, parameters}; an error response has the code "".
function readPaste(text, target, codeFormat) {
  try {
    return readOnce(text, target, codeFormat);
  } catch (refusal) {
    // White space may also be inside the host. The ">" of a quoted mail would cut off its beginning.
    if (refusal.kind === "wrong_address" && !hasSentence(text)) {
      const parsed = readOrNothing(splitWords(text.replaceAll(">", " ")).join(""), target, codeFormat);
      if (parsed && parsed.complete) return parsed;
    }
    throw refusal;
  }
}

function readOrNothing(text, target, codeFormat) {
  try {
    return readOnce(text, target, codeFormat);
  } catch (refusal) {
    if (refusal instanceof Refusal) return null;
    throw refusal;
  }
}

function readOnce(text, target, codeFormat) {
  const [normalized, layers] = normalize(text);
  const responses = findResponses(normalized, target);
  if (responses.length > MOST_RESPONSES) throw new Refusal("too_many_codes");
  const ours = responses.filter((one) => target.otherHost(one.address) === null);
  const found = ours
    .filter((one) => one.name === "code")
    .map((one) => judge(one, codeFormat, layers))
    .filter((candidate) => candidate.code || candidate.damage);
  const errors = ours.filter((one) => one.name === "error" && splitWords(one.value).length);
  if (errors.length && found.length) throw new Refusal("code_and_error");
  if (errors.length) return { code: "", layers, parameters: parametersOf(errors, layers) };
  if (!found.length) throw nothingFound(responses, normalized, target);
  return theOne(found);
}

function judge(found, codeFormat, layers) {
  const [code, inner] = findCode(found.value, codeFormat, found.more, found.enclosed);
  for (const [name, raw, more] of found.parameters) {
    if (name === "code" && findCode(raw, codeFormat, more)[0] !== code) {
      throw new Refusal("repeated_parameter", { name: "code" });
    }
  }
  const candidate = { found, code, layers: layers + inner, damage: null };
  if (found.stray) {
    candidate.damage = damaged("stray_before_code", code, { position: 0 });
  } else if (code) {
    try {
      Object.assign(candidate, checkCode(code, codeFormat));
    } catch (refusal) {
      if (refusal.kind !== "code_damaged") throw refusal;
      candidate.damage = refusal;
    }
  }
  return candidate;
}

function theOne(found) {
  let undamaged = found.filter((candidate) => !candidate.damage);
  const whole = undamaged.length ? undamaged : found;
  const best = whole.reduce((one, other) => (other.code.length > one.code.length ? other : one));
  // Only the length shows that another IdentityServer code is cut.
  const isHex = (candidate) => recognise(candidate.code) === "identityserver";
  if (isHex(best)) undamaged = undamaged.filter(isHex);
  // The text of a link is often its address cut short, with the whole address after it.
  const isOne =
    undamaged.every((candidate) => candidate.code === best.code) &&
    found.every((candidate) => best.code.startsWith(trimEnd(candidate.code, ".…")));
  if (!isOne) throw new Refusal("two_codes");
  if (best.damage) throw best.damage;
  const { code, format, complete, layers } = best;
  const responses = found.filter((candidate) => candidate.code === code).map((candidate) => candidate.found);
  return { code, format, complete, layers, parameters: parametersOf(responses, layers) };
}

// The parameters of all copies of one response; each parameter may have only one value.
function parametersOf(responses, layers) {
  const kept = new Map();
  const errors = responses.filter((one) => one.name === "error").map((one) => ["error", one.value, one.more]);
  for (const [name, raw, ends] of [...errors, ...responses.flatMap((one) => one.parameters)]) {
    if (!ONCE.has(name) || !splitWords(raw).length) continue;
    const value = valueOf(raw, ends, layers);
    if (!kept.has(name)) kept.set(name, value);
    if (kept.get(name) !== value) throw new Refusal("repeated_parameter", { name });
  }
  return kept;
}

// A parameter's value, decoded as often as the code was.
function valueOf(raw, ends, layers) {
  let value = ends ? splitWords(raw).join("") : withoutSentence(raw);
  for (let layer = 0; layer < Math.max(1, layers); layer += 1) value = percentDecode(value);
  return value;
}

function nothingFound(responses, text, target) {
  const addresses = [...responses.map((one) => one.address), ...addressesIn(text)];
  const elsewhere = addresses.filter((address) => target.otherHost(address) !== null);
  if (responses.some((one) => one.name === "code" && target.otherHost(one.address) === null)) {
    return new Refusal("code_ends_early");
  }
  if (elsewhere.length) return wrongAddress(elsewhere[0]);
  if (addresses.some((address) => address)) return new Refusal("no_code_in_address");
  return new Refusal(splitWords(text).length ? "no_code_in_text" : "nothing_pasted");
}
