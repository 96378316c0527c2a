// Show the events of other sessions, timers and app servers as soon as they are stored.
const list = document.getElementById("events");
const shown = document.getElementById("state").dataset.state;
const paste = document.getElementById("paste");

async function look() {
  const response = await fetch(`${list.dataset.url}?after=${list.dataset.last}`, { redirect: "error" });
  if (!response.ok) return;
  const { events, state } = await response.json();
  for (const event of events) {
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.dateTime = event.at;
    item.append(time, ` ${event.text}`);
    showLocalTimes(item);
    item.classList.toggle("bad", event.bad);
    list.prepend(item);
    list.dataset.last = event.sequence;
    document.getElementById("nothing")?.remove();
  }
  // Not while a person is pasting.
  if (state !== shown && !paste.matches(":popover-open")) location.reload();
}

if (location.hash === "#paste") paste.showPopover();
setInterval(() => look().catch(() => {}), 2000);
