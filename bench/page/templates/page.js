"use strict";
document.documentElement.classList.add("live");
for (const table of document.querySelectorAll("table.cases")) {
  const body = table.tBodies[0], tools = table.closest("section").querySelector(".tools");
  const rows = [...body.rows], input = tools.querySelector("input"), shown = tools.querySelector("output");
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    shown.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} cases`;
  };
  input.addEventListener("input", filter);
  filter();
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    // Numbers begin with the highest, text with the first letter; what has no figure stays below.
    const numeric = head.dataset.kind === "number", before = head.getAttribute("aria-sort");
    const falling = before ? before === "ascending" : numeric;
    const rank = row => {
      const cell = row.cells[column];
      return numeric ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent;
    };
    const order = (a, b) => {
      const [left, right] = [rank(a), rank(b)];
      if (numeric && (Number.isNaN(left) || Number.isNaN(right))) return Number.isNaN(left) - Number.isNaN(right);
      const way = numeric ? left - right : left.localeCompare(right, "en", { numeric: true });
      return falling ? -way : way;
    };
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...rows.sort(order));
  }));
}
for (const strip of document.querySelectorAll(".strip")) {
  const at = { scale: 1, x: 50, y: 50 }, said = strip.querySelector("output");
  const show = () => {
    at.x = Math.min(100, Math.max(0, at.x));
    at.y = Math.min(100, Math.max(0, at.y));
    strip.style.setProperty("--scale", at.scale);
    strip.style.setProperty("--x", `${at.x}%`);
    strip.style.setProperty("--y", `${at.y}%`);
    strip.classList.toggle("zoomed", at.scale > 1);
    said.textContent = `${at.scale}x`;
  };
  const zoom = factor => { at.scale = Math.min(16, Math.max(1, at.scale * factor)); show(); };
  strip.querySelector(".in").addEventListener("click", () => zoom(2));
  strip.querySelector(".out").addEventListener("click", () => zoom(.5));
  strip.querySelector(".reset").addEventListener("click", () => { Object.assign(at, { scale: 1, x: 50, y: 50 }); show(); });
  strip.querySelector(".focus").addEventListener("click", () => {
    at.scale = 6;
    // The origin that puts this place into the middle.
    at.x = (Number(strip.dataset.x) - 50 / at.scale) / (1 - 1 / at.scale);
    at.y = (Number(strip.dataset.y) - 50 / at.scale) / (1 - 1 / at.scale);
    show();
  });
  for (const pane of strip.querySelectorAll(".pane")) {
    let from = null, moved = false;
    pane.addEventListener("pointerdown", event => { from = event; moved = false; });
    pane.addEventListener("pointermove", event => {
      if (!from || at.scale === 1) return;
      // An origin moves the picture by (1 - scale) of its own way.
      const box = pane.getBoundingClientRect(), reach = 1 - at.scale;
      at.x += 100 * (event.clientX - from.clientX) / box.width / reach;
      at.y += 100 * (event.clientY - from.clientY) / box.height / reach;
      moved ||= Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > 1;
      from = event;
      show();
    });
    for (const name of ["pointerup", "pointerleave", "pointercancel"]) pane.addEventListener(name, () => { from = null; });
    pane.addEventListener("click", event => {
      if (moved) return;
      const box = pane.getBoundingClientRect();
      if (at.scale === 1 && event.detail) {
        at.x = 100 * (event.clientX - box.left) / box.width;
        at.y = 100 * (event.clientY - box.top) / box.height;
      }
      if (at.scale >= 16) Object.assign(at, { scale: .5 });
      zoom(2);
    });
  }
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(each => { each.open = true; }));
