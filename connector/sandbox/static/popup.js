// Gives the window that a form or link opens the shape of a popup, and says on this page where to go on.
for (const opener of document.querySelectorAll("[data-popup]")) {
  const event = opener instanceof HTMLFormElement ? "submit" : "click";
  opener.addEventListener(event, () => {
    window.open("", opener.target, "popup,width=620,height=720");
    document.querySelector("[data-waiting]").hidden = false;
  });
}
