"use strict";
// One trial at a time stands out, in every figure at once: under the pointer, or kept by a click. Everything here only
// adds to a page that can be read without it.
(() => {
  const trials = new Map(JSON.parse(document.getElementById("described").textContent).map((t) => [String(t.n), t]));
  const tip = document.getElementById("tip");
  const NEAR = 26; // pixels
  let kept = null;

  const marks = new Map();
  for (const element of document.querySelectorAll("[data-t]")) {
    const key = element.dataset.t;
    if (!marks.has(key)) marks.set(key, []);
    marks.get(key).push(element);
  }

  let shown = null;
  function highlight(key) {
    if (key === shown) return;
    for (const element of marks.get(shown) || []) element.classList.remove("hi");
    shown = key;
    document.body.classList.toggle("has-hi", key !== null);
    for (const element of marks.get(key) || []) element.classList.add("hi");
  }

  function describe(key, x, y) {
    const trial = trials.get(key);
    if (!trial) { tip.hidden = true; return; }
    tip.replaceChildren();
    const title = document.createElement("b");
    title.textContent = `trial ${trial.n}: ${trial.v}`;
    const state = document.createElement("span");
    state.textContent = trial.s;
    const table = document.createElement("table");
    for (const [name, value] of trial.p) {
      const row = table.insertRow();
      row.insertCell().textContent = name;
      row.insertCell().textContent = value;
    }
    tip.append(title, state, table);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    const top = y + 16 + box.height > innerHeight ? y - 16 - box.height : y + 16;
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - box.width - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(top, innerHeight - box.height - 8))}px`;
  }

  // A path is "M x y", then "L x y" for lines, "h.1" for dots, "h v h z" for boxes; the box of a picture is 10000 wide.
  const geometry = new WeakMap();
  function pointsOf(path) {
    let found = geometry.get(path);
    if (!found) {
      const text = path.getAttribute("d");
      const numbers = (text.match(/-?[\d.]+/g) || []).map(Number);
      found = [];
      if (text.endsWith("z")) {
        const [x, y, width, height] = numbers;
        found.box = [x, y, x + width, y + height];
      } else {
        for (let i = 0; i + 1 < numbers.length; i += 2) found.push([numbers[i], numbers[i + 1]]);
      }
      geometry.set(path, found);
    }
    return found;
  }

  function distance(px, py, points, sx, sy) {
    if (points.box) {
      const [x0, y0, x1, y1] = points.box;
      const dx = Math.max(x0 * sx - px, 0, px - x1 * sx), dy = Math.max(y0 * sy - py, 0, py - y1 * sy);
      return Math.hypot(dx, dy);
    }
    let best = Infinity;
    for (let i = 0; i < points.length; i++) {
      const x = points[i][0] * sx, y = points[i][1] * sy;
      if (i === 0) { best = Math.min(best, Math.hypot(px - x, py - y)); continue; }
      const x0 = points[i - 1][0] * sx, y0 = points[i - 1][1] * sy, dx = x - x0, dy = y - y0;
      const length = dx * dx + dy * dy;
      const t = length ? Math.max(0, Math.min(1, ((px - x0) * dx + (py - y0) * dy) / length)) : 0;
      best = Math.min(best, Math.hypot(px - x0 - t * dx, py - y0 - t * dy));
    }
    return best;
  }

  function nearest(svg, event) {
    const box = svg.getBoundingClientRect();
    const px = event.clientX - box.left, py = event.clientY - box.top;
    let key = null, best = NEAR;
    for (const path of svg.querySelectorAll("path[data-t]:not(.off)")) {
      const found = distance(px, py, pointsOf(path), box.width / 10000, box.height / 10000);
      if (found <= best) { best = found; key = path.dataset.t; }
    }
    return key;
  }

  for (const area of document.querySelectorAll(".area")) {
    const svg = area.querySelector("svg");
    if (!svg.querySelector("[data-t]")) continue;
    area.addEventListener("pointermove", (event) => {
      if (event.buttons) return;
      const key = nearest(svg, event);
      highlight(key ?? kept);
      if (key === null) tip.hidden = true; else describe(key, event.clientX, event.clientY);
    });
    area.addEventListener("pointerleave", () => { tip.hidden = true; highlight(kept); });
    area.addEventListener("click", (event) => {
      if (area.dataset.dragged) { delete area.dataset.dragged; return; }
      const key = nearest(svg, event);
      kept = key === kept ? null : key;
      highlight(kept);
      if (kept === null) tip.hidden = true; else describe(kept, event.clientX, event.clientY);
    });
  }

  for (const button of document.querySelectorAll("button.trial")) {
    button.addEventListener("click", (event) => {
      kept = kept === button.dataset.t ? null : button.dataset.t;
      highlight(kept);
      const box = button.getBoundingClientRect();
      if (kept === null) tip.hidden = true; else describe(kept, event.clientX || box.left, event.clientY || box.bottom);
      event.stopPropagation();
    });
    button.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { kept = null; highlight(null); tip.hidden = true; }
  });
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // Parallel coordinates: drag along an axis to keep the lines that cross it there, click its name to let all back in.
  for (const area of document.querySelectorAll(".parallel .area")) {
    const svg = area.querySelector("svg");
    const lines = [...svg.querySelectorAll("path[data-t]")];
    const axes = [...svg.querySelectorAll("path.axis")].map((path) => pointsOf(path)[0][0]);
    const names = [...area.querySelectorAll(".axisname")];
    const kept = new Map(); // axis -> [top, bottom, rectangle]
    const apply = () => {
      for (const line of lines) {
        const points = pointsOf(line);
        line.classList.toggle("off", [...kept].some(([axis, [top, bottom]]) => {
          const y = points[axis] ? points[axis][1] : Infinity;
          return y < top || y > bottom;
        }));
      }
    };
    const release = (axis) => {
      if (!kept.has(axis)) return;
      kept.get(axis)[2].remove();
      kept.delete(axis);
      apply();
    };
    names.forEach((name, axis) => name.addEventListener("click", (event) => { release(axis); event.stopPropagation(); }));
    let drag = null;
    area.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") return;
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 10000;
      const axis = axes.reduce((best, at, i) => (Math.abs(at - x) < Math.abs(axes[best] - x) ? i : best), 0);
      if (Math.abs(axes[axis] - x) * box.width / 10000 > NEAR) return;
      drag = { axis, from: ((event.clientY - box.top) / box.height) * 10000, box };
      area.setPointerCapture(event.pointerId);
    });
    area.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const y = ((event.clientY - drag.box.top) / drag.box.height) * 10000;
      const top = Math.max(0, Math.min(y, drag.from)), bottom = Math.min(10000, Math.max(y, drag.from));
      if ((bottom - top) * drag.box.height / 10000 < 5) return;
      const rectangle = kept.get(drag.axis)?.[2] ?? document.createElementNS("http://www.w3.org/2000/svg", "rect");
      if (!rectangle.parentNode) { rectangle.classList.add("brush"); svg.append(rectangle); }
      const width = (16 / drag.box.width) * 10000;
      for (const [name, value] of [["x", axes[drag.axis] - width / 2], ["y", top], ["width", width], ["height", bottom - top]]) {
        rectangle.setAttribute(name, value);
      }
      kept.set(drag.axis, [top, bottom, rectangle]);
      area.dataset.dragged = "1";
      tip.hidden = true;
      apply();
    });
    area.addEventListener("pointerup", () => { drag = null; });
  }

  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details.kept")) fold.open = true; });
})();
