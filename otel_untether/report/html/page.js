"use strict";
// Zooms the waterfall and filters its rows; the page says the same without it.
(() => {
  const box = document.getElementById("waterfall");
  if (!box) return;
  const UNITS = 100000, LEAST = 20;
  const drawings = [...box.querySelectorAll("svg")];
  const ticks = [...box.querySelectorAll(".tick")];
  const rows = [...box.querySelectorAll(".spans tr")].map((row) => {
    const bars = [...row.querySelectorAll("rect")].map((bar) => {
      const x = Number(bar.getAttribute("x"));
      return [x, x + Number(bar.getAttribute("width"))];
    });
    return { row, bars, name: row.cells[0].textContent.toLowerCase() };
  });
  const field = document.getElementById("filter");
  const total = Number(box.dataset.ms);
  const range = document.getElementById("range");
  let start = 0, width = UNITS;

  const said = (ms) => {
    if (ms <= 0) return "0 s";
    if (ms < 1000) return `${Math.round(ms)} ms`;
    const s = ms / 1000;
    if (s < 60) return `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
    const m = Math.floor(Math.round(s) / 60), rest = Math.round(s) % 60;
    if (m < 60) return `${m}m${String(rest).padStart(2, "0")}s`;
    return `${Math.floor(m / 60)}h${String(m % 60).padStart(2, "0")}m`;
  };
  const at = (place) => said(total * place / UNITS);

  function show() {
    width = Math.min(Math.max(width, LEAST), UNITS);
    start = Math.min(Math.max(start, 0), UNITS - width);
    for (const drawing of drawings) {
      const height = drawing.getAttribute("viewBox").split(" ")[3];
      drawing.setAttribute("viewBox", `${start} 0 ${width} ${height}`);
    }
    ticks.forEach((tick, i) => { tick.textContent = at(start + width * i / (ticks.length - 1)); });
    // What has no bar in sight, or another name than is looked for, has no row.
    const wanted = field.value.trim().toLowerCase();
    for (const { row, bars, name } of rows) {
      const seen = bars.some(([first, last]) => first <= start + width && last >= start);
      row.hidden = !seen || !name.includes(wanted);
    }
    range.textContent = width < UNITS ? `${at(start)} to ${at(start + width)}` : "the whole session";
  }
  function zoom(factor, centre = start + width / 2) {
    const share = (centre - start) / width;
    width = Math.min(Math.max(width * factor, LEAST), UNITS);
    start = centre - share * width;
    show();
  }
  const actions = {
    in: () => zoom(0.5),
    out: () => zoom(2),
    left: () => { start -= width / 4; show(); },
    right: () => { start += width / 4; show(); },
    all: () => { start = 0; width = UNITS; show(); },
  };
  const keys = { "+": "in", "=": "in", "-": "out", "0": "all", ArrowLeft: "left", ArrowRight: "right" };

  const controls = document.getElementById("controls");
  controls.hidden = false;
  controls.addEventListener("click", (event) => {
    const name = event.target.dataset && event.target.dataset.zoom;
    if (name) actions[name]();
  });
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = keys[event.key];
    if (name) { event.preventDefault(); actions[name](); }
  });
  field.addEventListener("input", show);

  // A drag over the bars zooms to what it covers.
  let from = null;
  const place = (event) => {
    const cell = event.target.closest(".bar, .curve");
    if (!cell) return null;
    const shape = cell.getBoundingClientRect();
    return start + width * (event.clientX - shape.left) / shape.width;
  };
  box.addEventListener("pointerdown", (event) => { from = place(event); });
  box.addEventListener("pointerup", (event) => {
    const to = place(event), began = from;
    from = null;
    if (began === null || to === null || Math.abs(to - began) < width / 100) return;
    start = Math.min(began, to);
    width = Math.abs(to - began);
    show();
  });
  box.addEventListener("dblclick", () => actions.all());
  show();
})();
