// My Profile: the button that goes with "3Shape Trios", and the dialog that takes the authorization code.
const profile = document.getElementById("profile");
const connect = document.getElementById("connect");
const dialog = document.getElementById("code-dialog");
const code = document.getElementById("code");
const problem = document.getElementById("code-problem");

function showWhatFits() {
  connect.hidden = profile.scanner.value !== "3Shape Trios" || profile.source.value !== "scanner";
}
profile.addEventListener("change", showWhatFits);
showWhatFits(); // the choice may be older: before this script was loaded, or before the person went back

connect.addEventListener("click", () => {
  code.value = "";
  problem.hidden = true;
  dialog.showModal();
  code.focus();
});

document.getElementById("code-cancel").addEventListener("click", () => dialog.close());

document.getElementById("code-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams({ code: code.value, form_token: profile.form_token.value });
  const response = await (await fetch(event.target.getAttribute("action"), { method: "POST", body })).json();
  if (!response.accepted) {
    problem.textContent = response.message;
    problem.hidden = false;
    code.focus();
    return;
  }
  document.getElementById("entered-code").value = code.value;
  document.getElementById("entered").hidden = false;
  dialog.close();
});
