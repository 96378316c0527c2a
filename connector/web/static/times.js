// Times are in UTC where no script runs; a person reads their own.
function showLocalTimes(place) {
  for (const time of place.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

showLocalTimes(document);
