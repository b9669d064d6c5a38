// What makes every page a little more comfortable; all of it works without, too.

const inLocalTime = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.textContent;
  time.textContent = inLocalTime.format(new Date(time.dateTime));
}

// A trainer is chosen: its options come at once, with everything that was typed.
for (const choice of document.querySelectorAll("select[data-look]")) {
  choice.addEventListener("change", () => choice.form.querySelector("button[name=look]").click());
}

// As many as can be compared.
for (const form of document.querySelectorAll("form[data-choose]")) {
  const [fewest, most] = form.getAttribute("data-choose").split("-").map(Number);
  const button = form.querySelector("button");
  const look = () => {
    const chosen = form.querySelectorAll("input[name=run]:checked").length;
    button.disabled = chosen < fewest || chosen > most;
  };
  form.addEventListener("change", look);
  look();
}

// An act is done once, however often somebody presses. (Attributes, since a form's fields hide its properties.)
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.hasAttribute("data-sent")) event.preventDefault();
    else if (!form.hasAttribute("data-again")) form.setAttribute("data-sent", "");
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
});

for (const lines of document.querySelectorAll("pre.copy")) {
  if (!navigator.clipboard) break;
  const around = document.createElement("div");
  around.className = "copyable";
  lines.replaceWith(around);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(lines.textContent);
    button.textContent = "Copied";
  });
  around.append(lines, button);
}
