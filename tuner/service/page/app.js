"use strict";
// One page for every model: what is asked for follows from /model. No library, nothing from elsewhere.

const given = new URLSearchParams(location.search).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname); // out of the address, before somebody copies it
}
const token = sessionStorage.getItem("token");
const N_BARS = 10;
const PEN = 22; // pixels of the 280 that the pad has a side
const FRAME = 0.12; // empty share around a drawing, as in the data sets of digits

const $ = (id) => document.getElementById(id);
let model = null;
let latest = 0;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

async function call(path, options = {}) {
  const headers = { ...(options.headers || {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("the server does not answer; is `tuner app` still running?");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error?.message || `the server answered ${answer.status}`);
  return body;
}

const asJson = (value) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

// ---------------------------------------------------------------------------------------------------------- answers

async function predict(options, show = showAnswers) {
  const number = ++latest; // an answer that comes after a newer question is not shown
  $("output").setAttribute("aria-busy", "true");
  try {
    const body = await call(options.path || "/predict", options);
    if (number === latest) { showError(null); show(body); }
  } catch (error) {
    if (number === latest) showError(error.message);
  } finally {
    if (number === latest) $("output").removeAttribute("aria-busy");
  }
}

function showError(message) {
  $("error").hidden = !message;
  $("error").textContent = message || "";
  if (message) $("output").replaceChildren();
}

function showAnswers(body) {
  const [answer] = body.predictions;
  $("output").replaceChildren(...elements(answer));
}

function elements(answer) {
  if (answer.label !== undefined) return [make("p", { className: "answer", id: "label", textContent: answer.label }), bars(answer.probabilities)];
  if (answer.labels) {
    const text = answer.labels.join(", ") || "none of the labels";
    return [make("p", { className: "answer", id: "label", textContent: text }), bars(answer.probabilities)];
  }
  if (answer.values) return Object.entries(answer.values).flatMap(([name, value]) => [
    make("p", { className: "quiet", textContent: name }), make("p", { className: "answer", id: "label", textContent: rounded(value) }),
  ]);
  if (answer.next) return [make("p", { className: "quiet", textContent: "What comes next" }), bars(Object.fromEntries(Object.entries(answer.next).map(([name, value]) => [JSON.stringify(name), value])))];
  if (answer.reconstruction) return [picture(answer.reconstruction) || make("pre", { textContent: JSON.stringify(answer.reconstruction) })];
  return [make("pre", { textContent: JSON.stringify(answer, null, 1) })];
}

const rounded = (value) => Number(value.toPrecision(6)).toString();

function bars(probabilities) {
  const sorted = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
  const list = make("div", { role: "list" });
  for (const [name, value] of sorted.slice(0, N_BARS)) {
    const fill = make("span", { className: "fill" });
    fill.style.width = `${100 * value}%`;
    list.append(make("div", { className: "bar", role: "listitem" },
      make("span", { className: "name", textContent: name, title: name }),
      make("span", { className: "track" }, fill),
      make("span", { className: "share", textContent: `${(100 * value).toFixed(1)} %` })));
  }
  if (sorted.length > N_BARS) list.append(make("p", { className: "quiet", textContent: `and ${sorted.length - N_BARS} others` }));
  return list;
}

function picture(values) {
  const planes = Array.isArray(values[0]) && Array.isArray(values[0][0]) ? values : null;
  if (!planes) return null;
  const [height, width] = [planes[0].length, planes[0][0].length];
  const canvas = make("canvas", { width, height, className: "shown small" });
  const image = new ImageData(width, height);
  const peak = Math.max(1e-9, ...planes.flat(2));
  for (let at = 0; at < height * width; at++) {
    const [y, x] = [Math.floor(at / width), at % width];
    for (let c = 0; c < 3; c++) image.data[4 * at + c] = 255 * planes[Math.min(c, planes.length - 1)][y][x] / peak;
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// ------------------------------------------------------------------------------------------------------------ files

function fits(file) {
  const most = model.limits.max_bytes;
  if (file.size <= most) return true;
  latest++;
  showError(`${file.name}: ${(file.size / 1048576).toFixed(1)} MB; expected at most ${(most / 1048576).toFixed(1)} MB`);
  return false;
}

function send(file) {
  if (!fits(file)) return;
  const form = new FormData();
  form.append("file", file, file.name || "drawing.png");
  predict({ method: "POST", body: form });
}

function dropZone(text, accept, use) {
  const input = make("input", { type: "file", accept, id: "file" });
  const zone = make("label", { className: "drop" }, text, input);
  input.addEventListener("change", () => { if (input.files[0]) use(input.files[0]); input.value = ""; });
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
  });
  return zone;
}

// ----------------------------------------------------------------------------------------------------------- images

function imageInput(spec) {
  const shown = make("img", { className: "shown", alt: "the image that was given", hidden: true });
  const zone = dropZone(`Drop an image here, or choose one`, "image/*", (file) => {
    if (shown.src) URL.revokeObjectURL(shown.src);
    shown.src = URL.createObjectURL(file);
    shown.hidden = false;
    send(file);
  });
  const size = `The model sees ${spec.width} x ${spec.height} pixels${spec.channels === 1 ? ", grey" : ""}.`;
  const parts = [zone, make("p", { className: "quiet", textContent: size }), shown];
  return spec.draws ? [...pad(spec), make("p", { className: "quiet", textContent: "or" }), ...parts] : parts;
}

function pad(spec) {
  const canvas = make("canvas", { id: "pad", width: 280, height: 280, tabIndex: 0 });
  canvas.setAttribute("aria-label", "a pad to draw on with the pointer");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const clear = () => { context.fillStyle = "#000"; context.fillRect(0, 0, 280, 280); };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
  };
  let from = null;
  const stroke = (to) => {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    from = to;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = place(event);
    stroke(from);
  });
  canvas.addEventListener("pointermove", (event) => { if (from) stroke(place(event)); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => {
    if (!from) return;
    from = null;
    framed(canvas, spec).toBlob((blob) => send(new File([blob], "drawing.png")), "image/png");
  });
  clear();
  const again = make("button", { type: "button", textContent: "Clear" });
  again.addEventListener("click", () => { clear(); latest++; showError(null); $("output").replaceChildren(make("p", { className: "quiet", textContent: "Nothing yet." })); });
  return [make("p", { className: "quiet", textContent: "Draw here" }), canvas, make("div", { className: "row" }, again)];
}

// The drawing in the middle of the frame and as large as in the data sets, whatever corner it was drawn in.
function framed(canvas, spec) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, 280, 280);
  let [left, top, right, bottom] = [280, 280, -1, -1];
  for (let at = 0; at < 280 * 280; at++) {
    if (data[4 * at] < 64) continue;
    const [x, y] = [at % 280, Math.floor(at / 280)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  }
  const scale = 8;
  const frame = make("canvas", { width: spec.width * scale, height: spec.height * scale });
  const context = frame.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, frame.width, frame.height);
  if (right < 0) return frame;
  const [width, height] = [right - left + 1, bottom - top + 1];
  const most = Math.min(frame.width, frame.height) * (1 - 2 * (Math.min(spec.width, spec.height) > 12 ? FRAME : 0));
  const factor = most / Math.max(width, height);
  const [w, h] = [width * factor, height * factor];
  context.drawImage(canvas, left, top, width, height, (frame.width - w) / 2, (frame.height - h) / 2, w, h);
  return frame;
}

// ----------------------------------------------------------------------------------------------------------- tables

function tableInput(spec) {
  const fields = spec.columns.map(field);
  const row = () => Object.fromEntries(fields.map(({ name, value }) => [name, value()]));
  const ask = () => predict(asJson({ inputs: [row()] }));
  const form = make("form", {}, make("div", { className: "fields" }, ...fields.map(({ element }) => element)),
    make("div", { className: "row" }, make("button", { className: "main", textContent: "Predict" })));
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  ask();
  return [make("p", { className: "quiet", textContent: "Filled with ordinary values; an empty field is a missing value." }), form];
}

function field(column, number) {
  const id = `field-${number}`;
  let input;
  if (column.kind === "category") {
    input = make("select", { id }, ...column.choices.map((choice) => new Option(choice, choice)), new Option("(missing)", ""));
    input.value = column.default ?? "";
  } else {
    input = make("input", { id, type: "text", value: column.default ?? "" });
    if (column.kind === "number") input.inputMode = "decimal";
    if (column.kind === "date") input.title = column.format;
  }
  const value = () => {
    const text = input.value.trim();
    if (text === "") return null;
    return column.kind === "number" && Number.isFinite(Number(text)) ? Number(text) : input.value;
  };
  const element = make("div", { className: "field" }, make("label", { htmlFor: id, textContent: column.name }), input);
  return { name: column.name, value, element };
}

// ----------------------------------------------------------------------------------------------- texts and the others

function textInput(label, button, ask, start = "") {
  const area = make("textarea", { id: "text", value: start });
  const form = make("form", {}, make("label", { className: "quiet", htmlFor: "text", textContent: label }), area,
    make("div", { className: "row" }, make("button", { className: "main", textContent: button })));
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(area.value); });
  return [form];
}

function charactersInput() {
  const write = (prompt) => predict({ path: "/generate", ...asJson({ prompt, n: 300, temperature: 0.8, seed: Math.floor(Math.random() * 1e6) }) },
    ({ text }) => $("output").replaceChildren(make("p", { className: "text", id: "label" }, make("span", { className: "prompt", textContent: prompt }), text)));
  return textInput("The model goes on from here", "Write on", write);
}

function jsonInput(label, start) {
  const ask = (text) => {
    let inputs;
    try { inputs = JSON.parse(text); } catch (error) { latest++; showError(`no JSON: ${error.message}`); return; }
    predict(asJson({ inputs }));
  };
  return textInput(label, "Predict", ask, JSON.stringify(start));
}

const zeros = (shape) => shape.length ? Array.from({ length: shape[0] }, () => zeros(shape.slice(1))) : 0;

const INPUTS = {
  image: imageInput,
  table: tableInput,
  text: () => textInput("A text", "Predict", (text) => predict(asJson({ inputs: [text] }))),
  characters: charactersInput,
  sound: (spec) => [dropZone("Drop a wav file here, or choose one", ".wav,audio/wav", send),
    make("p", { className: "quiet", textContent: `The model hears ${rounded(spec.seconds)} seconds.` })],
  series: (spec) => jsonInput(`The last ${spec.rows} rows as JSON, oldest first`, Array.from({ length: spec.rows }, () => Object.fromEntries(spec.columns.map((name) => [name, 0])))),
  named: (spec) => jsonInput("The inputs of one item as JSON", [Object.fromEntries(spec.fields.map(({ name, shape }) => [name, zeros(shape)]))]),
  array: (spec) => jsonInput(`Numbers of shape [1, ${spec.shape.join(", ")}] as JSON`, zeros([1, ...spec.shape])),
};

function example(spec) {
  const key = token ? ` -H "Authorization: Bearer $TOKEN"` : "";
  const url = `${location.origin}/predict`;
  if (spec.kind === "image") return `curl${key} -F file=@image.png ${url}`;
  if (spec.kind === "sound") return `curl${key} -F file=@sound.wav ${url}`;
  const inputs = {
    table: () => [Object.fromEntries(spec.columns.map((column) => [column.name, column.default]))],
    text: () => ["A text"],
    characters: () => ["A text"],
  }[spec.kind]?.() ?? "...";
  return `curl${key} -H "Content-Type: application/json" \\\n  -d '${JSON.stringify({ inputs }).replaceAll("'", "'\\''")}' ${url}`;
}

// The objective and what people ask for, on the test part where there is one.
function scores() {
  const names = [...new Set([model.metric.replace(/^val\//, ""), "accuracy", "r2"])];
  const found = names.map((name) => [`test/${name}`, `val/${name}`].find((key) => model.metrics[key] != null)).filter(Boolean);
  return found.slice(0, 2).map((key) => `${key} ${rounded(model.metrics[key])}`);
}

async function begin() {
  try {
    model = await call("/model");
  } catch (error) {
    showError(error.message);
    return;
  }
  document.title = `${model.study}, trial ${model.trial}`;
  $("title").textContent = document.title;
  $("subtitle").textContent = [model.task, ...scores()].join(", ");
  $("example").textContent = example(model.input);
  $("input").replaceChildren(...INPUTS[model.input.kind](model.input));
}

begin();
