"use strict";
/* Filters, folds and unpacks; what somebody must see is there without it. State is kept in the address:
   #only=regressed&q=c64&open=row-suite_case-metric,row-...  A plain #row-... or #case-... opens that row or case. */
const byId = (id) => document.getElementById(id);
const every = (selector, root = document) => [...root.querySelectorAll(selector)];
const state = { only: "", q: "", open: [] };
const chips = every("button[data-only]");
const rows = every("tr[data-case]");
const search = byId("search");

/* ---- what is packed: gzip, base64, JSON; read once, when it is first wanted */
const unpacked = new Map();
async function unpack(name) {
  if (!unpacked.has(name)) unpacked.set(name, readBlock(name));
  return unpacked.get(name);
}
async function readBlock(name) {
  const block = document.querySelector(`script.packed[data-of="${CSS.escape(name)}"]`);
  if (block === null || typeof DecompressionStream === "undefined") return null;
  const bytes = Uint8Array.from(atob(block.textContent), (one) => one.charCodeAt(0));
  return JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text());
}

/* A case has one panel. It stands below its row while that is open, else in the list of cases. */
async function panelOf(name) {
  const inside = byId(name);
  if (inside.dataset.packed === "yes") {
    const content = await unpack(name);
    if (content !== null && content.html && inside.dataset.packed === "yes") {
      inside.innerHTML = content.html; /* our own template's, escaped there */
      delete inside.dataset.packed;
    }
  }
  return inside;
}
async function reveal(name) {
  const inside = await panelOf(name);
  if (inside.dataset.ready !== "yes") {
    inside.dataset.ready = "yes";
    for (const button of every("button[data-save]", inside)) {
      button.hidden = false;
      button.addEventListener("click", async () => save(name + ".json", whole(await unpack(name))));
    }
    for (const code of every("dd.command", inside)) offerCopy(code);
  }
  const place = inside.querySelector("[data-course]");
  if (place !== null && !place.hasChildNodes()) {
    const content = await unpack(name);
    if (content !== null && content.course) drawCourse(place, content.course);
  }
  return inside;
}
function offerCopy(entry) {
  if (!navigator.clipboard || entry.querySelector("button") !== null) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "small", textContent: "Copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(entry.querySelector("code").textContent);
    button.textContent = "Copied";
  });
  entry.append(" ", button);
}
function whole(content) {
  return content === null ? null : { ...content.raw, over_time: content.course };
}
function save(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/* ---- rows that open */
function openerOf(row) {
  return row.querySelector("a.opener");
}
async function openRow(row) {
  const name = row.dataset.case;
  for (const other of rows) if (other !== row && other.dataset.case === name && isOpen(other)) closeRow(other);
  const drill = document.createElement("tr");
  drill.className = "drill";
  const cell = drill.insertCell();
  cell.colSpan = [...row.cells].reduce((sum, one) => sum + one.colSpan, 0);
  row.after(drill);
  openerOf(row).setAttribute("aria-expanded", "true");
  const details = byId(name).closest("details.case");
  if (details !== null) details.hidden = true;
  cell.append(await panelOf(name));
  await reveal(name);
}
function closeRow(row) {
  const drill = row.nextElementSibling;
  const panel = drill.querySelector(".inside");
  const home = document.querySelector(`details.case[data-of="${CSS.escape(row.dataset.case)}"]`);
  if (panel !== null) home.append(panel);
  drill.remove();
  home.hidden = !isShown(home);
  openerOf(row).setAttribute("aria-expanded", "false");
}
function isOpen(row) {
  return openerOf(row).getAttribute("aria-expanded") === "true";
}
async function toggle(row) {
  if (isOpen(row)) closeRow(row);
  else await openRow(row);
  state.open = rows.filter(isOpen).map((one) => one.id);
  keep();
}

/* ---- filter */
function isShown(element) {
  const text = (element.dataset.name || "").toLowerCase();
  return (state.only === "" || element.dataset.outcome === state.only) && state.q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
function filter() {
  for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.only === state.only));
  const limited = state.only !== "" || state.q !== "";
  let shown = 0;
  for (const row of rows) {
    row.hidden = !isShown(row);
    shown += !row.hidden;
    if (isOpen(row)) row.nextElementSibling.hidden = row.hidden;
  }
  for (const details of every("details.case")) details.hidden = !isShown(details) || details.querySelector(".inside") === null;
  if (limited) for (const folded of every("details.fold.rows")) folded.open = true;
  byId("found").textContent = limited ? `${shown} of ${rows.length} rows shown` : "";
}
function keep() {
  const parts = Object.entries({ only: state.only, q: state.q, open: state.open.join(",") }).filter(([, value]) => value !== "");
  const hash = parts.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  history.replaceState(null, "", hash === "" ? location.pathname + location.search : "#" + hash);
}
for (const chip of chips) {
  chip.disabled = false;
  chip.addEventListener("click", () => {
    state.only = state.only === chip.dataset.only ? "" : chip.dataset.only;
    filter();
    keep();
  });
}
byId("tools").hidden = false;
search.value = "";
search.addEventListener("input", () => {
  state.q = search.value.trim();
  filter();
  keep();
});
for (const row of rows) {
  openerOf(row).setAttribute("aria-expanded", "false");
  openerOf(row).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    toggle(row);
  });
}

/* ---- the list of cases */
for (const details of every("details.case")) details.addEventListener("toggle", () => details.open && details.querySelector(".inside") && reveal(details.dataset.of));
const all = byId("open-all");
all.hidden = false;
all.addEventListener("click", () => {
  const cases = every("details.case").filter((one) => !one.hidden);
  const open = cases.some((one) => !one.open);
  for (const one of cases) one.open = open;
  all.textContent = open ? "Fold all cases" : "Open all cases";
});
byId("save-all").hidden = false;
byId("save-all").addEventListener("click", async () => {
  const cases = {};
  for (const details of every("details.case")) cases[details.dataset.name] = whole(await unpack(details.dataset.of));
  save("report.json", { session: document.documentElement.dataset.session, cases });
});

/* ---- keyboard: j and k go from row to row, Enter opens (it is a link), Escape closes, / filters */
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
    if (event.key === "Escape" && event.target === search) search.blur();
    return;
  }
  const seen = rows.filter((row) => row.getClientRects().length > 0);
  const at = seen.findIndex((row) => row.contains(document.activeElement) || row.nextElementSibling?.contains(document.activeElement));
  if (event.key === "j" && seen.length > 0) openerOf(seen[Math.min(at + 1, seen.length - 1)]).focus();
  else if (event.key === "k" && seen.length > 0) openerOf(seen[Math.max(at - 1, 0)]).focus();
  else if (event.key === "Escape" && at >= 0 && isOpen(seen[at])) {
    toggle(seen[at]);
    openerOf(seen[at]).focus();
  } else if (event.key === "/") {
    event.preventDefault();
    search.focus();
  }
});

/* ---- from the address */
async function follow() {
  const hash = location.hash.slice(1);
  let anchor = "";
  try {
    anchor = decodeURIComponent(hash);
  } catch {
    return;
  }
  const row = byId(anchor);
  if (row !== null && row.matches("tr[data-case]")) {
    unfold(row);
    if (!isOpen(row)) await openRow(row);
    row.scrollIntoView();
    return;
  }
  if (row !== null) {
    const details = row.closest("details.case") || row.closest("tr.drill");
    if (details !== null && details.matches("details")) details.open = true;
    row.scrollIntoView();
    return;
  }
  const asked = new URLSearchParams(hash);
  state.only = chips.some((chip) => chip.dataset.only === asked.get("only")) ? asked.get("only") : "";
  state.q = search.value = asked.get("q") || "";
  if (state.only !== "" || state.q !== "") filter();
  const wanted = (asked.get("open") || "").split(",").map(byId).filter((one) => one !== null && one.matches("tr[data-case]"));
  for (const one of wanted) {
    unfold(one);
    if (!isOpen(one)) await openRow(one);
  }
  state.open = wanted.map((one) => one.id);
  if (wanted.length > 0) wanted[0].scrollIntoView();
}
function unfold(row) {
  const folded = row.closest("details.fold");
  if (folded !== null) folded.open = true;
}
addEventListener("hashchange", follow);
follow();
