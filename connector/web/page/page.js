// The code page and the landing page: show the code in a pasted text, or in the page's own address, in the
// dialog's form; or the reason why there is none.

const LIFETIME_SECONDS = 180;
const IS_LANDING = document.body.dataset.page === "landing";
const byId = (id) => document.getElementById(id);

const PLACE = IS_LANDING && location.hostname ? [location.hostname] : [];

let language = (navigator.languages ?? ["en"])
  .map((name) => name.slice(0, 2).toLowerCase())
  .find((name) => Object.hasOwn(WORDS, name)) ?? "en";
let shown = { state: "empty" };
let since = 0;

function words(name, values = {}) {
  return filledIn(WORDS[language][name], values);
}

// The interpretation of a text: {state, kind, code, count, refusal, handle}.
function judged(text) {
  if (!text.trim()) return { state: "empty" };
  try {
    const { dialogCode, code, complete, handle } = parseRedirect(text, {
      redirectUri: SETTINGS.redirectUri,
      landingHosts: [...SETTINGS.landingHosts, ...PLACE],
    });
    return { state: complete ? "ok" : "unchecked", code: dialogCode, count: code.length, handle };
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    return { state: "refused", kind: refusal.kind, refusal };
  }
}

function read(text) {
  shown = judged(text);
  since = Date.now();
  byId("copied").textContent = "";
  show();
}

function show() {
  const { state, kind, code = "" } = shown;
  document.body.dataset.state = state;
  if (kind) document.body.dataset.kind = kind;
  else delete document.body.dataset.kind;
  byId("code").textContent = code;
  byId("copy").disabled = !code;
  byId("message").replaceChildren(...messageParts());
  showAge();
}

function messageParts() {
  if (shown.state === "empty") return [paragraph("fact", words(IS_LANDING ? "landing_empty" : "empty"))];
  if (shown.state === "refused") {
    const { fact, hint } = inWords(shown.refusal, language);
    const title = Object.assign(document.createElement("strong"), { textContent: words("refused") });
    return [title, paragraph("fact", sentence(fact)), paragraph("hint", sentence(hint))];
  }
  const parts = [paragraph("fact", words(shown.state, { count: shown.count }))];
  if (shown.handle !== USUAL_HANDLE) {
    const note = TABLES.refusals.words[language].notes.unusual_handle;
    parts.push(paragraph("hint", sentence(filledIn(note, { count: shown.handle }))));
  }
  return parts;
}

function paragraph(className, text) {
  return Object.assign(document.createElement("p"), { className, textContent: text });
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
}

// Counted from the paste, because the age of the code at that time is not known.
function showAge() {
  const age = byId("age");
  age.hidden = !shown.code;
  const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
  const isOld = seconds >= LIFETIME_SECONDS;
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const text = isOld ? words("too_old") : words(IS_LANDING ? "age_landing" : "age", { age: time });
  if (age.textContent === text) return;
  // Screen readers announce only that the code is too old, not each second.
  age.setAttribute("role", isOld && shown.code ? "alert" : "none");
  age.dataset.old = String(isOld);
  age.textContent = text;
}

async function copy() {
  const isCopied = (await copiedByClipboard(shown.code)) || copiedBySelection();
  byId("copied").textContent = words(isCopied ? "copied" : "copy_by_hand");
}

async function copiedByClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no clipboard for this page, as for files in some browsers
  }
}

function copiedBySelection() {
  const selection = window.getSelection();
  selection.selectAllChildren(byId("code"));
  const isCopied = document.execCommand("copy");
  if (isCopied) selection.removeAllRanges();
  return isCopied;
}

function clear() {
  byId("paste").value = "";
  read("");
  byId("other").open = true;
  byId("paste").focus();
}

function speak() {
  document.documentElement.lang = language;
  document.title = words("title");
  for (const element of document.querySelectorAll("[data-words]")) {
    element.textContent = words(element.dataset.words);
  }
  byId("privacy").textContent = words(IS_LANDING ? "privacy_landing" : "privacy");
  byId("copied").textContent = "";
  show();
}

// Remove the parameters from the address bar and the history; return the address before, or "".
function takeAddress() {
  const address = location.href;
  const hasParameters = location.search.length > 1 || location.hash.length > 1;
  history.replaceState(null, "", location.pathname);
  return hasParameters ? address : "";
}

function readOwnAddress() {
  const address = takeAddress();
  if (!address) return;
  read(address);
  byId("other").open = !shown.code;
  if (shown.code) byId("copy").focus();
}

function start() {
  for (const [name, table] of Object.entries(WORDS)) {
    byId("language").add(new Option(table.language, name, false, name === language));
  }
  byId("language").addEventListener("change", (event) => {
    language = event.target.value;
    speak();
  });
  byId("paste").addEventListener("input", (event) => read(event.target.value));
  byId("copy").addEventListener("click", copy);
  byId("clear").addEventListener("click", clear);
  // A page that comes back from the browser's cache starts empty.
  window.addEventListener("pagehide", clear);
  setInterval(showAge, 1000);
  if (IS_LANDING) {
    window.addEventListener("hashchange", readOwnAddress);
    readOwnAddress();
  } else {
    byId("paste").focus();
  }
  speak();
}

start();
