// Refusals of pastes. The words for each reason are in refusals.json, in every language.

class Refusal extends Error {
  constructor(reason, values = {}) {
    super(reason);
    this.reason = reason;
    this.values = values;
    this.kind = TABLES.refusals.reasons[reason].kind;
  }
}

function damaged(reason, code, { expected, position, ...values } = {}) {
  const number = position === undefined ? undefined : position + 1;
  return new Refusal(reason, { count: code.length, expected, number, ...values });
}

// The error that the provider sent instead of a code (RFC 6749 section 4.1.2.1).
function providerError(name, description) {
  const aliases = TABLES.refusals.error_aliases;
  const known = Object.hasOwn(aliases, name) ? aliases[name] : name;
  let reason = TABLES.refusals.provider_errors.includes(known) ? known : "other_error";
  if (!/^[a-z_]{1,40}$/.test(name)) reason = "unreadable_error";
  return new Refusal(reason, { error: name, said: ordinaryWords(description) });
}

// The ordinary words of an untrusted text, without control characters or possible secrets.
function ordinaryWords(description) {
  const words = splitWords(description.slice(0, 200).replace(/\+/g, " ")).map((word) =>
    /^(?:[A-Za-z'-]{1,20}[.,;:!?]?|[0-9]{1,6}[.,]?)$/.test(word) ? word : "…",
  );
  return words.some((word) => word !== "…") ? words.join(" ") : "";
}

function filledIn(template, values) {
  return template.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

// The message and the hint for a reason, in a language.
function inWords(refusal, language) {
  const words = TABLES.refusals.words[language];
  let fact = filledIn(words.facts[refusal.reason], refusal.values);
  if (refusal.values.said) fact += ` (${filledIn(words.notes.said, { words: refusal.values.said })})`;
  return { fact, hint: words.hints[TABLES.refusals.reasons[refusal.reason].hint] };
}
