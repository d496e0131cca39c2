/* The course of a case's runs over time, drawn when the case is opened. One cursor and one stretch of time for all drawings of a run. */
const COLOURS = ["--s0", "--s1", "--s2", "--s3", "--s4", "--s5"];
let courses = 0;

function drawCourse(place, course) {
  const key = `course-${++courses}`;
  const drawn = [];
  const group = Object.assign(document.createElement("div"), { className: "chips" });
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Which run");
  const grid = Object.assign(document.createElement("div"), { className: "over-time" });
  place.append(group, grid);
  let shown = course[0];
  const buttons = course.map((run) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: run.run, className: "run" });
    button.addEventListener("click", () => show(run));
    group.append(button);
    return button;
  });
  function show(run) {
    shown = run;
    for (const [index, button] of buttons.entries()) button.setAttribute("aria-pressed", String(course[index] === run));
    for (const chart of drawn.splice(0)) chart.destroy();
    grid.replaceChildren();
    const span = spanOf(run);
    /* The first drawings at once, the others frame by frame: whoever opens a row sees something before all is drawn. */
    const waiting = run.panels.map((panel) => () => drawn.push(drawPanel(grid, panel, run, span, key, drawn)));
    for (const draw of waiting.splice(0, 2)) draw();
    (function next() {
      if (shown !== run || waiting.length === 0) return;
      requestAnimationFrame(() => {
        if (shown !== run) return;
        for (const draw of waiting.splice(0, 3)) draw();
        next();
      });
    })();
  }
  show(shown);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(shown));
  new ResizeObserver(() => {
    for (const chart of drawn) {
      const width = chart.root.parentElement.clientWidth;
      if (width > 0 && Math.abs(width - chart.width) > 4) chart.setSize({ width, height: chart.height });
    }
  }).observe(grid);
}

function spanOf(run) {
  const ends = run.panels.flatMap((panel) => panel.lines.flatMap((line) => [line.x[0], line.x[line.x.length - 1]]));
  return { min: Math.min(...ends), max: Math.max(...ends) };
}

function drawPanel(grid, panel, run, span, key, drawn) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = `${panel.title}, ${panel.unit}`;
  const told = Object.assign(document.createElement("p"), { className: "faint", textContent: describe(panel) });
  figure.append(caption);
  grid.append(figure);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 }, font: "11px system-ui" };
  const series = panel.lines.map((line, index) => ({
    label: line.label,
    stroke: colour(COLOURS[index % COLOURS.length]),
    width: 1.4,
    spanGaps: true,
    ...(panel.style === "steps" ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
    ...(panel.style === "dots" ? { paths: () => null, points: { show: true, size: 3.5, width: 0, fill: colour(COLOURS[index % COLOURS.length]) } } : { points: { show: false } }),
  }));
  const chart = new uPlot(
    {
      width: Math.max(200, figure.clientWidth - 24),
      height: 150,
      scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.06 : 1] } },
      axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map((tick) => `${tick} s`) }, { ...axis, size: 58 }],
      series: [{ label: "s" }, ...series],
      cursor: { sync: { key, setSeries: false }, points: { size: 6 }, bind: { dblclick: () => () => drawn.forEach((one) => one.setScale("x", span)) } },
      legend: { show: false },
      hooks: { drawClear: [(u) => shade(u, run.faults, colour("--red-soft"))], setCursor: [(u) => read(u)] },
    },
    panel.lines.length === 1 ? [panel.lines[0].x, panel.lines[0].y] : uPlot.join(panel.lines.map((line) => [line.x, line.y])),
    figure,
  );
  chart.setScale("x", span);
  chart.root.setAttribute("role", "img");
  chart.root.setAttribute("aria-label", `${run.run}: ${panel.title}. ${told.textContent}`);
  const readout = Object.assign(document.createElement("p"), { className: "readout" });
  readout.setAttribute("aria-hidden", "true");
  if (panel.lines.length > 1) figure.append(legend(panel));
  figure.append(readout, told);
  function read(u) {
    const at = u.cursor.idx;
    if (at === null || at === undefined) {
      readout.textContent = "";
      return;
    }
    const values = panel.lines.map((line, index) => [line.label, u.data[index + 1][at]]).filter(([, value]) => value !== null && value !== undefined);
    readout.textContent = `${short(u.data[0][at])} s: ` + values.map(([label, value]) => (panel.lines.length > 1 ? `${label} ` : "") + short(value)).join(", ");
  }
  return chart;
}

function legend(panel) {
  const list = Object.assign(document.createElement("ul"), { className: "legend" });
  for (const [index, line] of panel.lines.entries()) {
    const item = document.createElement("li");
    const mark = Object.assign(document.createElement("span"), { className: `mark s${index % COLOURS.length}` });
    mark.setAttribute("aria-hidden", "true");
    item.append(mark, line.label);
    list.append(item);
  }
  return list;
}

function shade(u, faults, colour) {
  u.ctx.save();
  u.ctx.fillStyle = colour;
  for (const [begun, ended] of faults) {
    const left = u.valToPos(begun, "x", true);
    u.ctx.fillRect(left, u.bbox.top, Math.max(2, u.valToPos(ended, "x", true) - left), u.bbox.height);
  }
  u.ctx.restore();
}

/* The table alternative of a drawing: how far it reaches, and how much of it is drawn. */
function describe(panel) {
  return panel.lines
    .map((line) => {
      const least = line.y.reduce((one, other) => Math.min(one, other));
      const greatest = line.y.reduce((one, other) => Math.max(one, other));
      const drawn = line.y.length < line.of ? `, ${line.y.length} drawn: the least and the greatest of each stretch` : "";
      return `${panel.lines.length > 1 ? line.label + ": " : ""}${short(least)} to ${short(greatest)}, ${line.of.toLocaleString("en")} values${drawn}`;
    })
    .join("; ");
}

function short(value) {
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
}
