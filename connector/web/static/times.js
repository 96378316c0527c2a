// The server writes times in UTC; show them in the reader's time zone.
function showLocalTimes(place) {
  for (const time of place.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

showLocalTimes(document);
