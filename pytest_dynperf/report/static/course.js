/* The course of a case's runs over time, drawn when the case is opened. One cursor and one stretch of time for all drawings of a run. */
const COLOURS = ["--s0", "--s1", "--s2", "--s3", "--s4", "--s5"];
const HEIGHT = 150;
let courses = 0;

/* `room` is the width that the drawings will have, where that is known without laying out the page for it. */
function drawCourse(place, course, room) {
  for (const run of course) for (const panel of run.panels) panel.lines.reduce((x, line) => (line.x ??= x), []);
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
    const frames = run.panels.map(frame);
    grid.replaceChildren(...frames.map((one) => one.figure));
    /* All frames stand, with their heights, before anything is measured: the page is laid out once, not once a drawing. */
    const width = Math.max(200, room === undefined ? frames[0].plot.clientWidth : columnOf(room));
    room = undefined;
    const look = { ...palette(), width, span: spanOf(run), key, drawn };
    const waiting = run.panels.map((panel, index) => () => drawn.push(drawPanel(frames[index], panel, run, look)));
    /* The first drawings at once, the others frame by frame: whoever opens a row sees something before all is drawn. */
    for (const draw of waiting.splice(0, 2)) draw();
    (function next() {
      if (waiting.length === 0) return;
      requestAnimationFrame(() => {
        if (shown !== run) return;
        for (const draw of waiting.splice(0, 2)) draw();
        next();
      });
    })();
  }
  show(shown);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(shown));
  new ResizeObserver(() => {
    for (const chart of drawn) {
      const width = chart.root.parentElement.clientWidth;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height: HEIGHT });
    }
  }).observe(grid);
}

/* As the style sheet divides it; where that is wrong, the observer puts it right. */
function columnOf(room) {
  const columns = Math.max(1, Math.floor((room + 8) / 368));
  return Math.floor((room - 8 * (columns - 1)) / columns) - 22;
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { series: COLOURS.map(colour), faint: colour("--faint"), rule: colour("--rule"), fault: colour("--red-soft") };
}

function spanOf(run) {
  const ends = run.panels.flatMap((panel) => panel.lines.flatMap((line) => [line.x[0], line.x[line.x.length - 1]]));
  return { min: Math.min(...ends), max: Math.max(...ends) };
}

function frame(panel) {
  const make = (name, properties) => Object.assign(document.createElement(name), properties);
  const [figure, plot] = [make("figure"), make("div", { className: "plot" })];
  const told = make("p", { className: "faint", textContent: describe(panel) });
  const readout = make("p", { className: "readout" });
  readout.setAttribute("aria-hidden", "true");
  figure.append(make("figcaption", { textContent: `${panel.title}, ${panel.unit}` }), plot);
  if (panel.lines.length > 1) figure.append(legend(panel));
  figure.append(readout, told);
  return { figure, plot, told, readout };
}

function drawPanel({ plot, told, readout }, panel, run, look) {
  const axis = { stroke: look.faint, grid: { stroke: look.rule, width: 1 }, ticks: { stroke: look.rule, width: 1 }, font: "11px system-ui" };
  const series = panel.lines.map((line, index) => seriesOf(panel, line, look.series[index % COLOURS.length], index));
  const chart = new uPlot(
    {
      width: look.width,
      height: HEIGHT,
      scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.06 : 1] } },
      axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map((tick) => `${tick} s`) }, { ...axis, size: 58 }],
      series: [{ label: "s" }, ...series],
      cursor: { sync: { key: look.key, setSeries: false }, points: { size: 6 }, bind: { dblclick: () => () => showAll(look) } },
      legend: { show: false },
      hooks: { drawClear: [(u) => shade(u, run.faults, look.fault)], setCursor: [(u) => tell(u, panel, readout)] },
    },
    panel.lines.length === 1 ? [panel.lines[0].x, panel.lines[0].y] : uPlot.join(panel.lines.map((line) => [line.x, line.y])),
    plot,
  );
  chart.setScale("x", look.span);
  chart.root.setAttribute("role", "img");
  chart.root.setAttribute("aria-label", `${run.run}: ${panel.title}, ${panel.unit}. ${told.textContent}`);
  return chart;
}

function seriesOf(panel, line, colour, index) {
  const dash = index < COLOURS.length ? undefined : [5, 3];
  const common = { label: line.label, stroke: colour, dash, width: 1.4, spanGaps: true, points: { show: false } };
  if (panel.style === "steps") return { ...common, paths: uPlot.paths.stepped({ align: 1 }) };
  if (panel.style === "dots") return { ...common, paths: () => null, points: { show: true, size: 3.5, width: 0, fill: colour } };
  return common;
}

function showAll(look) {
  for (const chart of look.drawn) chart.setScale("x", look.span);
}

function tell(u, panel, readout) {
  const at = u.cursor.idx;
  if (at === null || at === undefined) {
    readout.textContent = "";
    return;
  }
  const values = panel.lines.map((line, index) => [line.label, u.data[index + 1][at]]).filter(([, value]) => value !== null && value !== undefined);
  readout.textContent = `${short(u.data[0][at])} s: ` + values.map(([label, value]) => (panel.lines.length > 1 ? `${label} ` : "") + short(value)).join(", ");
}

function legend(panel) {
  const list = Object.assign(document.createElement("ul"), { className: "legend" });
  for (const [index, line] of panel.lines.entries()) {
    const item = document.createElement("li");
    const mark = Object.assign(document.createElement("span"), { className: `mark s${index % COLOURS.length}${index < COLOURS.length ? "" : " again"}` });
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

/* The text alternative of a drawing: how far it reaches, and how much of it is drawn. */
function describe(panel) {
  const told = (lines) => {
    const [all, of] = [lines.flatMap((line) => line.y), lines.reduce((sum, line) => sum + line.of, 0)];
    const [least, greatest] = [all.reduce((one, other) => Math.min(one, other)), all.reduce((one, other) => Math.max(one, other))];
    const drawn = all.length < of ? `, ${grouped(all.length)} drawn: the least and the greatest of each stretch` : "";
    return `${short(least)} to ${short(greatest)}, ${grouped(of)} values${drawn}`;
  };
  if (panel.lines.length > 3) return `${panel.lines.length} lines: ${told(panel.lines)}`;
  return panel.lines.map((line) => (panel.lines.length > 1 ? `${line.label}: ` : "") + told([line])).join("; ");
}

/* Not by the browser's locale functions: the first call of one costs more than all drawings. */
function short(value) {
  const [whole, rest] = String(Number(value.toPrecision(4))).split(".");
  return grouped(whole) + (rest === undefined ? "" : "." + rest);
}

function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}
