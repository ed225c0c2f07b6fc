/** Around allauth's own script: offers passkeys where they can work, and says in the page when one did not. */

const trouble = document.getElementById("passkey-trouble");
const available = Boolean(window.PublicKeyCredential) && !/^[\d.]+$|^\[/.test(location.hostname);

// After allauth's own listener of this event: a button that is to be seen does what it says.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll("[data-passkeys]")) element.hidden = !available;
  if (!available && document.querySelector("[data-needs-passkeys]")) tell(trouble.dataset.unavailable);
});
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  tell(trouble.dataset.cancelled);
});

function tell(text) {
  trouble.textContent = text;
  trouble.hidden = false;
}
