// Shows what other sessions, timers and worker processes do, as soon as it is in the store.
const list = document.getElementById("events");
const shown = document.getElementById("state").dataset.state;

async function look() {
  const answer = await fetch(`${list.dataset.url}?after=${list.dataset.last}`, { redirect: "error" });
  if (!answer.ok) return;
  const { events, state } = await answer.json();
  for (const event of events) {
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = event.at;
    item.append(time, ` ${event.text}`);
    item.classList.toggle("bad", event.bad);
    list.prepend(item);
    list.dataset.last = event.sequence;
    document.getElementById("nothing")?.remove();
  }
  // Not while somebody is pasting.
  if (state !== shown && !document.querySelector("#paste:popover-open")) location.reload();
}

setInterval(() => look().catch(() => {}), 2000);
