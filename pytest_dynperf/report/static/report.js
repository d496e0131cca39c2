"use strict";
/* Filter by outcome and fold; the page is complete without it. The filter is kept in the address: #only=regressed */
const chips = document.querySelectorAll("button[data-only]");
const marked = document.querySelectorAll("[data-outcome]");

function show(only) {
  for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.only === only));
  for (const element of marked) element.hidden = only !== "" && element.dataset.outcome !== only;
  if (only !== "") for (const folded of document.querySelectorAll("details.fold")) folded.open = true;
}

for (const chip of chips) {
  chip.disabled = false;
  chip.addEventListener("click", () => {
    const only = chip.getAttribute("aria-pressed") === "true" ? "" : chip.dataset.only;
    history.replaceState(null, "", only === "" ? location.pathname : "#only=" + only);
    show(only);
  });
}
if (location.hash.startsWith("#only=")) show(decodeURIComponent(location.hash.slice(6)));

const all = document.getElementById("open-all");
all.hidden = false;
all.addEventListener("click", () => {
  const cases = [...document.querySelectorAll("details.case")];
  const open = cases.some((one) => !one.open);
  for (const one of cases) one.open = open;
  all.textContent = open ? "Fold all cases" : "Open all cases";
});

/* A link to a case opens it. */
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.closest("details.case")) target.closest("details.case").open = true;
}
addEventListener("hashchange", follow);
follow();
