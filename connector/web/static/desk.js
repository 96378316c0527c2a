// Search while typing, copy buttons, and updates after changes by others.
const rows = document.getElementById("rows");
const search = document.getElementById("q");
const events = document.getElementById("events");
const live = rows ?? events;
let asked = 0;

async function showRows() {
  const mine = (asked += 1);
  const response = await fetch(`${rows.dataset.url}&q=${encodeURIComponent(search.value)}`, { redirect: "error" });
  // A slower, older search must not replace the result of a newer one.
  if (response.ok && mine === asked) replaceRows(await response.text());
}

function replaceRows(html) {
  const focused = rows.contains(document.activeElement) && document.activeElement.getAttribute("href");
  rows.innerHTML = html;
  showLocalTimes(rows);
  document.getElementById("count").textContent = rows.firstElementChild.dataset.count;
  if (focused) rows.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

async function look() {
  const response = await fetch(`${live.dataset.changes}?after=${live.dataset.last}`, { redirect: "error" });
  if (!response.ok) return;
  const { after, practices } = await response.json();
  const changed = String(after) !== live.dataset.last;
  live.dataset.last = after;
  if (!changed) return;
  if (rows) await showRows();
  else if (practices.includes(events.dataset.practice)) showPractice();
}

// A page in which a person types, or reads a link, is not reloaded; it shows a notice instead.
function showPractice() {
  const isBusy = document.getElementById("link") !== null || Boolean(document.getElementById("answer")?.value);
  if (isBusy) document.getElementById("changed").hidden = false;
  else location.reload();
}

let waiting;
search?.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => showRows().catch(() => {}), 120);
});
search?.form.addEventListener("submit", (event) => event.preventDefault());

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    await navigator.clipboard.writeText(field.value).catch(() => document.execCommand("copy"));
    button.textContent = "Copied";
  });
}

document.getElementById("show-cases")?.addEventListener("click", async (event) => {
  const place = document.getElementById("cases");
  event.target.disabled = true;
  const response = await fetch(place.dataset.url, { redirect: "error" });
  place.innerHTML = response.ok ? await response.text() : "The cases cannot be read right now.";
  showLocalTimes(place);
});

setInterval(() => look().catch(() => {}), 2000);
