// A circuit graph: token position across, layer upwards; nodes in SVG, edges on a canvas. The layout is fixed.
const SVG = "http://www.w3.org/2000/svg";
const STEP = 500, EDGES = 2500;
const FREE = new Set(["embed", "logit"]);

// What is drawn: tokens and targets always; the rest by influence, up to a cumulative share and a count.
const choose = (data, dials, selected) => {
  const shown = new Set(), hidden = { influence: 0, errors: 0, cap: 0 };
  const ranked = data.nodes.map((node, at) => at).filter((at) => !FREE.has(data.nodes[at].kind))
    .sort((a, b) => data.nodes[b].influence - data.nodes[a].influence || a - b);
  const total = ranked.reduce((sum, at) => sum + data.nodes[at].influence, 0) || 1;
  let reached = 0;
  data.nodes.forEach((node, at) => FREE.has(node.kind) && shown.add(at));
  for (const at of ranked) {
    const inside = dials.share >= 1 || reached < dials.share * total;
    reached += data.nodes[at].influence;
    if (dials.pins.includes(data.nodes[at].id) || data.nodes[at].id === selected) shown.add(at);
    else if (!dials.errors && data.nodes[at].kind === "error") hidden.errors++;
    else if (!inside) hidden.influence++;
    else if (shown.size >= dials.cap) hidden.cap++;
    else shown.add(at);
  }
  return { shown, hidden };
};

// Places in the box: columns as wide as their fullest cell, rows one per layer from embedding to logits.
const arrange = (data, shown, width, height) => {
  const cells = new Map();
  for (const at of shown) {
    const key = `${data.nodes[at].layer}|${data.nodes[at].position}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(at);
  }
  const fullest = data.tokens.map(() => 1.6);
  for (const [key, list] of cells) {
    const column = Number(key.split("|")[1]);
    fullest[column] = Math.max(fullest[column], list.length + 0.6);
  }
  const left = 46, right = 14, bottom = 46, top = 26;
  const unit = (width - left - right) / fullest.reduce((a, b) => a + b, 0);
  const starts = [];
  fullest.reduce((sum, size) => (starts.push(left + sum * unit), sum + size), 0);
  const row = (layer) => height - bottom - ((layer + 1) * (height - bottom - top)) / (data.n_layers + 1);
  const spots = new Map();
  for (const list of cells.values())
    list.forEach((at, i) => {
      const node = data.nodes[at];
      spots.set(at, [starts[node.position] + (fullest[node.position] * unit * (i + 0.5)) / list.length, row(node.layer)]);
    });
  const columns = starts.map((start, i) => [start, start + fullest[i] * unit]);
  return { spots, columns, row, radius: Math.max(2.6, Math.min(7, unit * 0.42, (height - bottom - top) / (data.n_layers + 2) * 0.42)) };
};

const shape = (kind, size) => {
  const square = kind === "embed" || kind === "logit";
  const node = document.createElementNS(SVG, kind === "feature" ? "circle" : kind === "error" ? "path" : square ? "rect" : "circle");
  if (kind === "error") node.setAttribute("d", `M0 ${-size * 0.9}L${size * 0.9} 0L0 ${size * 0.9}L${-size * 0.9} 0Z`);
  else if (square) for (const [name, value] of [["x", -size], ["y", -size * 0.8], ["width", 2 * size], ["height", 1.6 * size], ["rx", 2]])
    node.setAttribute(name, value);
  else node.setAttribute("r", size);
  return node;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const fresh = root.state?.id !== data.id;
  const state = fresh ? (root.state = { id: data.id, seen: -1, selected: null, pins: [], view: [1, 0, 0], over: null,
    dials: { share: data.share, errors: true, cap: STEP, pins: [] } }) : root.state;
  const moved = adoptStart(state, data.start);
  const repinned = state.seenPins !== data.pins.n;
  if (repinned) [state.seenPins, state.pins, state.dials.pins] = [data.pins.n, data.pins.selected, data.pins.selected];
  const tip = tooltip(root);
  if (fresh) frame(root, data);
  const part = (name) => root.querySelector(`.${name}`);
  const box = part("box"), canvas = part("edges"), svg = part("nodes");

  const neighbours = (at) => {
    const near = new Set([at]);
    if (at === null) return near;
    for (let e = 0; e < data.source.length; e++) {
      if (data.source[e] === at) near.add(data.target[e]);
      if (data.target[e] === at) near.add(data.source[e]);
    }
    return near;
  };
  const focus = () => {
    const at = state.over ?? data.nodes.findIndex((node) => node.id === state.selected);
    return at < 0 ? null : at;
  };
  const toScreen = ([x, y]) => [x * state.view[0] + state.view[1], y * state.view[0] + state.view[2]];

  const chips = (hidden, drawn) => {
    const bar = part("chips");
    bar.textContent = "";
    const chip = (text, clear) => {
      const node = make(clear ? "button" : "span", "chip", clear ? `${text} ✕` : text);
      if (clear) node.onclick = clear;
      bar.append(node);
    };
    const count = (value) => value.toLocaleString("en");
    chip(`${count(state.shown.size)} of ${count(data.total.nodes)} nodes shown`);
    if (hidden.influence) chip(`${count(hidden.influence)} hidden: beyond ${Math.round(100 * state.dials.share)} % of the influence`,
      () => { state.dials.share = 1; rebuild(); });
    if (hidden.errors) chip(`${count(hidden.errors)} error nodes hidden`, () => { state.dials.errors = true; rebuild(); });
    if (hidden.cap) {
      chip(`${count(hidden.cap)} hidden: over the limit of ${count(state.dials.cap)}`);
      const more = make("button", "chip more", `Next ${Math.min(STEP, hidden.cap)}`);
      more.onclick = () => { state.dials.cap += STEP; rebuild(); };
      bar.append(more);
    }
    if (data.total.nodes > data.nodes.length) chip(`${count(data.total.nodes - data.nodes.length)} not loaded: least influence`);
    chip(`${count(drawn)} of ${count(data.total.edges)} edges drawn, the strongest`);
  };

  const rebuild = () => {
    const { shown, hidden } = choose(data, state.dials, state.selected);
    state.shown = shown;
    state.plan = arrange(data, shown, box.clientWidth, box.clientHeight);
    state.edges = [];
    for (let e = 0; e < data.source.length; e++) if (shown.has(data.source[e]) && shown.has(data.target[e])) state.edges.push(e);
    state.edges.sort((a, b) => Math.abs(data.weight[b]) - Math.abs(data.weight[a]));
    state.strongest = Math.abs(data.weight[state.edges[0]] ?? 1) || 1;
    state.drawn = new Set(state.edges.slice(0, EDGES));
    part("share").value = state.dials.share;
    part("share-text").textContent = `${Math.round(100 * state.dials.share)} %`;
    part("errors").checked = state.dials.errors;
    chips(hidden, state.drawn.size);
    svg.textContent = "";
    state.marks = new Map();
    const largest = Math.max(1e-9, ...[...shown].filter((at) => !FREE.has(data.nodes[at].kind)).map((at) => data.nodes[at].influence));
    for (const at of shown) {
      const node = data.nodes[at], group = document.createElementNS(SVG, "g");
      const grow = FREE.has(node.kind) ? 1.15 : 0.65 + 0.6 * Math.sqrt(node.influence / largest);
      group.append(shape(node.kind, state.plan.radius * grow));
      group.dataset.at = at;
      group.setAttribute("class", `node ${node.kind} ${node.effect < 0 ? "minus" : "plus"}`);
      svg.append(group);
      state.marks.set(at, group);
    }
    paint();
  };

  const paintEdges = (look, at) => {
    const pen = sharpCanvas(canvas, box.clientWidth, box.clientHeight);
    pen.clearRect(0, 0, box.clientWidth, box.clientHeight);
    grid(pen, look);
    const faint = (at === null ? 0.45 : 0.07) * Math.min(1, Math.sqrt(500 / Math.max(1, state.drawn.size)));
    const line = (e, strong) => {
      const [x0, y0] = toScreen(state.plan.spots.get(data.source[e])), [x1, y1] = toScreen(state.plan.spots.get(data.target[e]));
      const size = Math.sqrt(Math.abs(data.weight[e]) / state.strongest);
      pen.strokeStyle = rgb(data.weight[e] < 0 ? look.orange : look.blue, strong ? 0.35 + 0.6 * size : faint * (0.25 + size));
      pen.lineWidth = strong ? 0.8 + 3 * size : 0.4 + 1.3 * size;
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.bezierCurveTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1);
      pen.stroke();
    };
    for (const e of state.drawn) if (data.source[e] !== at && data.target[e] !== at) line(e, false);
    if (at !== null) for (const e of state.edges) if (data.source[e] === at || data.target[e] === at) line(e, true);
  };
  const grid = (pen, look) => {
    pen.font = `11px ${look.font}`;
    pen.textBaseline = "middle";
    const every = Math.ceil(((data.n_layers + 1) * 13) / (box.clientHeight * state.view[0]));
    for (let layer = -1; layer <= data.n_layers; layer++) {
      const y = toScreen([0, state.plan.row(layer)])[1];
      pen.strokeStyle = rgb(look.ink, 0.06);
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(40, y);
      pen.lineTo(box.clientWidth, y);
      pen.stroke();
      if (layer >= 0 && layer < data.n_layers && layer % every) continue;
      pen.fillStyle = rgb(look.ink, 0.6);
      pen.fillText(layer < 0 ? "tokens" : layer === data.n_layers ? "output" : `L${layer}`, 4, y);
    }
    const low = box.clientHeight - 16;
    pen.fillStyle = rgb(look.base, 0.9);
    pen.fillRect(40, low - 14, box.clientWidth, 30);
    data.tokens.forEach((text, i) => {
      const [x0] = toScreen([state.plan.columns[i][0], 0]), [x1] = toScreen([state.plan.columns[i][1], 0]);
      pen.strokeStyle = rgb(look.ink, 0.08);
      pen.beginPath();
      pen.moveTo(x1, 0);
      pen.lineTo(x1, low - 12);
      pen.stroke();
      pen.save();
      pen.beginPath();
      pen.rect(x0 + 1, low - 14, Math.max(8, x1 - x0 - 2), 30);
      pen.clip();
      pen.fillStyle = rgb(look.ink, 0.9);
      const size = pen.measureText(visible(text)).width;
      pen.fillText(visible(text), Math.max(x0 + 2, (x0 + x1 - size) / 2), low);
      pen.restore();
    });
  };

  const paint = () => {
    if (!box.clientWidth) return;
    const look = theme(root), at = focus();
    const near = neighbours(at), self = at === null ? null : data.nodes[at];
    paintEdges(look, at);
    const grow = Math.pow(state.view[0], 0.45), wanted = part("find").value.trim().toLowerCase();
    for (const [i, group] of state.marks) {
      const node = data.nodes[i], [x, y] = toScreen(state.plan.spots.get(i));
      group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${grow.toFixed(3)})`);
      const classes = group.classList;
      classes.toggle("dim", at !== null && !near.has(i));
      classes.toggle("selected", node.id === state.selected);
      classes.toggle("pinned", state.pins.includes(node.id));
      classes.toggle("twin", Boolean(self) && self.kind === "feature" && node.kind === "feature" && node.unit === self.unit && i !== at);
      classes.toggle("found", wanted !== "" && `${node.label} ${node.unit} ${node.id}`.toLowerCase().includes(wanted));
    }
  };

  const select = (at) => {
    state.selected = at === null ? null : data.nodes[at].id;
    paint();
    setTriggerValue("picked", { value: state.selected });
  };
  const pin = (at) => {
    const id = data.nodes[at].id;
    state.pins = state.pins.includes(id) ? state.pins.filter((other) => other !== id) : [...state.pins, id];
    state.dials.pins = state.pins;
    paint();
    setTriggerValue("pinned", { value: state.pins });
  };
  const describe = (at) => (card) => {
    const node = data.nodes[at];
    const facts = [["kind", node.kind], ["layer", node.layer < 0 ? "embedding" : node.layer === data.n_layers ? "output" : node.layer],
      ["position", `${node.position} ${visible(data.tokens[node.position])}`], ["activation", number(node.activation)],
      ["influence", percent(node.influence)], ["effect", number(node.effect)]];
    tipFacts(card, node.label || node.id, facts, false);
  };
  const fit = () => { state.view = [1, 0, 0]; paint(); };
  const nodeOf = (event) => {
    const group = event.target.closest?.("g.node");
    return group ? Number(group.dataset.at) : null;
  };

  svg.onpointerdown = (event) => { state.drag = [event.clientX, event.clientY, ...state.view]; state.shift = 0; };
  svg.onpointermove = (event) => {
    if (state.drag && event.buttons) {
      const [x, y, scale, dx, dy] = state.drag;
      state.shift = Math.max(state.shift, Math.hypot(event.clientX - x, event.clientY - y));
      if (state.shift > 4) {
        svg.setPointerCapture(event.pointerId);
        state.view = [scale, dx + event.clientX - x, dy + event.clientY - y];
        tip.hide();
        requestAnimationFrame(paint);
        return;
      }
    }
    const over = nodeOf(event);
    if (over !== null) tip.show(event, describe(over)); else tip.hide();
    if (over !== state.over) { state.over = over; paint(); }
  };
  svg.onpointerup = () => { state.drag = null; };
  svg.onpointerleave = () => { tip.hide(); if (state.over !== null) { state.over = null; paint(); } };
  svg.onclick = (event) => {
    if (state.shift > 4) return;
    const at = nodeOf(event);
    if (at !== null && (event.ctrlKey || event.metaKey)) pin(at);
    else if (at !== null || state.selected !== null) select(at);
  };
  svg.ondblclick = fit;
  svg.onwheel = (event) => {
    event.preventDefault();
    const place = svg.getBoundingClientRect(), x = event.clientX - place.left, y = event.clientY - place.top;
    const scale = Math.max(0.6, Math.min(30, state.view[0] * Math.exp(-event.deltaY * 0.0015))), ratio = scale / state.view[0];
    state.view = [scale, x - (x - state.view[1]) * ratio, y - (y - state.view[2]) * ratio];
    requestAnimationFrame(paint);
  };
  box.onkeydown = (event) => {
    if (event.key === "Escape") select(null);
    else if (event.key === "/") { event.preventDefault(); part("find").focus(); }
    else if (event.key === "f") fit();
  };
  part("share").oninput = (event) => { state.dials.share = Number(event.target.value); rebuild(); };
  part("errors").onchange = (event) => { state.dials.errors = event.target.checked; rebuild(); };
  part("find").oninput = paint;
  part("fit").onclick = fit;
  part("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen());

  if (fresh || repinned || (moved && focus() !== null && !state.shown.has(focus()))) rebuild(); else if (moved) paint();
  const stop = onChange(box, rebuild);
  return () => { stop(); tip.hide(); };
}

function frame(root, data) {
  root.querySelectorAll(":scope > :not(.tip)").forEach((node) => node.remove());
  const bar = make("div", "bar");
  const label = (text, ...nodes) => { const node = make("label", "", text); node.append(...nodes); return node; };
  const share = Object.assign(make("input", "share"), { type: "range", min: 0.2, max: 1, step: 0.01, value: data.share });
  const errors = Object.assign(make("input", "errors"), { type: "checkbox", checked: true });
  const find = Object.assign(make("input", "find"), { type: "search", placeholder: "Find a label ( / )" });
  find.setAttribute("aria-label", "Find a node");
  const full = make("button", "full", "Full screen");
  bar.append(label("Influence kept ", share), make("span", "share-text"), label("Errors ", errors), find,
    make("button", "fit", "Fit"), full);
  const box = make("div", "box");
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  box.setAttribute("aria-label", "Circuit graph; the connections of the selected node are in the table beside it");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "nodes");
  box.append(make("canvas", "edges"), svg);
  const key = make("div", "key");
  for (const [name, text] of [["embed", "token"], ["feature", "feature"], ["error", "error"], ["logit", "target"]]) {
    const mark = document.createElementNS(SVG, "svg"), group = document.createElementNS(SVG, "g");
    mark.setAttribute("viewBox", "-7 -7 14 14");
    mark.setAttribute("class", "mark");
    group.setAttribute("class", `node ${name} plus`);
    group.append(shape(name, 5));
    mark.append(group);
    key.append(mark, make("span", "", text));
  }
  key.append(make("i", "swatch blue"), make("span", "", "raises"), make("i", "swatch orange"), make("span", "", "lowers"),
    make("span", "hint", "click selects · Ctrl-click pins · wheel zooms · drag moves · double-click fits"));
  root.append(bar, make("div", "chips"), box, key);
}
