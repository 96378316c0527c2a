// Open the window of a form or link as a popup, and show on this page that the popup is open.
for (const opener of document.querySelectorAll("[data-popup]")) {
  const event = opener instanceof HTMLFormElement ? "submit" : "click";
  opener.addEventListener(event, () => {
    window.open("", opener.target, "popup,width=620,height=720");
    document.querySelector("[data-waiting]").hidden = false;
  });
}
