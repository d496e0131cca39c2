"use strict";
/* Filters, folds and unpacks; what somebody must see is there without it. State is kept in the address:
   #only=regressed&q=c64&open=row-suite_case-metric,row-...  A plain #row-... or #case-... opens that row or case. */
const byId = (id) => document.getElementById(id);
const every = (selector, root = document) => [...root.querySelectorAll(selector)];
const state = { only: "", q: "", open: [] };
const chips = every("button[data-only]");
const rows = every("tr[id^='row-']");
const openers = new Map(rows.map((row) => [row, row.querySelector("a.opener")]));
const cases = new Map(every("details.case").map((details) => [details.dataset.of, details.dataset.name]));
for (const row of rows) {
  /* Said once in the markup, where the row links to its case. */
  row.dataset.case = openers.get(row).getAttribute("href").slice(1);
  row.dataset.name = `${cases.get(row.dataset.case)} ${row.cells[1].textContent}`;
}
const search = byId("search");

/* ---- what is packed: gzip, base64, JSON, some cases in a block; read once, when one of them is first wanted */
const unpacked = new Map();
async function unpack(name) {
  const block = document.querySelector(`script.packed[data-of~="${CSS.escape(name)}"]`);
  if (block === null || typeof DecompressionStream === "undefined") return null;
  if (!unpacked.has(block)) unpacked.set(block, readBlock(block));
  const { names, ...columns } = await unpacked.get(block);
  const at = names.indexOf(name);
  return Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, values[at]]));
}
async function readBlock(block) {
  const text = atob(block.textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at); /* ten times faster than Uint8Array.from */
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
async function reveal(name, room) {
  const inside = await panelOf(name);
  if (inside.dataset.ready === "yes") return;
  inside.dataset.ready = "yes";
  for (const button of every("button[data-save]", inside)) {
    button.hidden = false;
    button.addEventListener("click", async () => save(name + ".json", whole(await unpack(name))));
  }
  for (const entry of every("dd.command", inside)) offerCopy(entry);
  const [place, rest] = [inside.querySelector("[data-course]"), inside.querySelector("[data-rest]")];
  if (place === null && rest === null) return;
  const content = await unpack(name);
  if (content === null) return;
  if (place !== null && content.course.length > 0) drawCourse(place, content.course, room);
  if (rest !== null && content.rest) rest.innerHTML = content.rest;
}
function offerCopy(entry) {
  if (!navigator.clipboard) return;
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
  return openers.get(row);
}
async function openRow(row) {
  const name = row.dataset.case;
  const room = Math.min(row.offsetWidth, 1190, innerWidth - 50) - 32; /* as the style sheet says of an open row */
  for (const other of rows) if (other !== row && other.dataset.case === name && isOpen(other)) closeRow(other);
  const drill = document.createElement("tr");
  drill.className = "drill";
  const cell = drill.insertCell();
  cell.colSpan = [...row.cells].reduce((sum, one) => sum + one.colSpan, 0);
  row.after(drill);
  openerOf(row).setAttribute("aria-expanded", "true");
  const details = byId(name).closest("details.case");
  if (details !== null) details.hidden = true;
  const panel = await panelOf(name);
  if (!drill.isConnected) return; /* closed again meanwhile */
  cell.append(panel);
  await reveal(name, room);
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
  const saved = {};
  for (const details of every("details.case")) saved[details.dataset.name] = whole(await unpack(details.dataset.of));
  save("report.json", { session: document.documentElement.dataset.session, cases: saved });
});

/* ---- keyboard: j and k go from row to row, Enter opens (it is a link), Escape closes, / filters */
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
    if (event.key === "Escape" && event.target === search) search.blur();
    return;
  }
  const seen = rows.filter((row) => row.getClientRects().length > 0);
  const at = seen.findIndex((row) => row.contains(document.activeElement) || (isOpen(row) && row.nextElementSibling.contains(document.activeElement)));
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
