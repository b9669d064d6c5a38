// The dry run's answer stands beside the form and follows what is typed.

const ASK_AFTER_MS = 500;

const form = document.querySelector("form[data-plan]");
const address = form.getAttribute("data-plan"); // its field called dataset hides the form's own
const plan = document.getElementById("plan");
let waiting = 0;
let asked = null;

async function ask() {
  asked?.abort();
  asked = new AbortController();
  const typed = new FormData(form);
  typed.delete("file");
  plan.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, { method: "POST", body: typed, signal: asked.signal });
    if (answer.ok) plan.innerHTML = await answer.text();
    plan.removeAttribute("aria-busy");
  } catch (error) {
    if (error.name !== "AbortError") plan.removeAttribute("aria-busy");
  }
}

form.addEventListener("input", (event) => {
  if (event.target.type === "file") return;
  clearTimeout(waiting);
  waiting = setTimeout(ask, ASK_AFTER_MS);
});
if (!plan.querySelector("dl")) ask();
