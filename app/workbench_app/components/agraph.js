// A circuit graph: token position across, layer upwards; nodes in SVG, edges on a canvas. Pins, groups, moves and
// dials are one layout, which every change hands to Python; what Python says comes through `agraph_control`.
const shape = (kind, size) => {
  const square = kind === "embed" || kind === "logit";
  const node = document.createElementNS(SVG, kind === "feature" ? "circle" : kind === "error" ? "path" : square ? "rect" : "circle");
  if (kind === "error") node.setAttribute("d", `M0 ${-size * 0.9}L${size * 0.9} 0L0 ${size * 0.9}L${-size * 0.9} 0Z`);
  else if (square) for (const [name, value] of [["x", -size], ["y", -size * 0.8], ["width", 2 * size], ["height", 1.6 * size], ["rx", 2]])
    node.setAttribute(name, value);
  else node.setAttribute("r", size);
  return node;
};


const LAYOUT = (data) => ({ pins: [], groups: [], moves: {}, share: data.share, mass: 1, density: 1, errors: true });

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const fresh = root.state?.id !== data.id;
  const state = fresh ? (root.state = { id: data.id, seen: -1, seenLayout: -1, selected: null, picked: new Set(), view: [1, 0, 0],
    over: null, cap: STEP, mode: "graph", lit: null, labels: {}, badges: {}, undo: [], redo: [], layout: LAYOUT(data) }) : root.state;
  const tip = tooltip(root);
  if (fresh) frame(root, data);
  const part = (name) => root.querySelector(`.${name}`);
  const box = part("box"), canvas = part("edges"), svg = part("nodes");
  const place = fresh ? (state.place = new Map(data.nodes.map((node, at) => [node.id, at]))) : state.place;
  const nameOf = (node) => (state.labels[node.address] ? `${node.stem}: ${state.labels[node.address]}` : node.label);

  const neighbours = (at) => {
    const near = new Set([at]);
    if (at === null) return near;
    for (let e = 0; e < data.source.length; e++) {
      if (data.source[e] === at) near.add(data.target[e]);
      if (data.target[e] === at) near.add(data.source[e]);
    }
    return near;
  };
  const focus = () => state.over ?? place.get(state.selected) ?? null;
  const toScreen = ([x, y]) => [x * state.view[0] + state.view[1], y * state.view[0] + state.view[2]];
  const groupOf = (id) => state.layout.groups.find((group) => group.members.includes(id));

  const commit = (change, undoable = true) => {
    if (undoable) {
      state.undo.push(JSON.stringify(state.layout));
      if (state.undo.length > 100) state.undo.shift();
      state.redo = [];
    }
    state.layout = { ...structuredClone(state.layout), ...change };
    rebuild();
    setTriggerValue("changed", { value: state.layout });
  };
  const travel = (from, to) => {
    if (!from.length) return;
    to.push(JSON.stringify(state.layout));
    state.layout = JSON.parse(from.pop());
    rebuild();
    setTriggerValue("changed", { value: state.layout });
  };

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
    if (hidden.influence) chip(`${count(hidden.influence)} hidden: beyond ${Math.round(100 * state.layout.share)} % of the influence`,
      () => commit({ share: 1 }, false));
    if (hidden.errors) chip(`${count(hidden.errors)} error nodes hidden`, () => commit({ errors: true }, false));
    if (hidden.density) chip(`${count(hidden.density)} hidden: fire on more than ${percent(state.layout.density)} of tokens`, () => commit({ density: 1 }, false));
    if (hidden.cap) {
      chip(`${count(hidden.cap)} hidden: over the limit of ${count(state.cap)}`);
      const more = make("button", "chip more", `Next ${Math.min(STEP, hidden.cap)}`);
      more.onclick = () => { state.cap += STEP; rebuild(); };
      bar.append(more);
    }
    if (data.total.nodes > data.nodes.length) chip(`${count(data.total.nodes - data.nodes.length)} not loaded: least influence`);
    chip(`${count(drawn)} of ${count(data.total.edges)} edges drawn, the strongest`);
    if (state.layout.mass < 1) chip(`edges beyond ${Math.round(100 * state.layout.mass)} % of the weight hidden`, () => commit({ mass: 1 }, false));
    if (state.picked.size) chip(`${count(state.picked.size)} in the box`, () => { state.picked.clear(); paint(); chips(hidden, drawn); });
    if (state.lit) chip("a path is lit", () => { state.lit = null; rebuild(); });
  };

  const rebuild = () => {
    if (!box.clientWidth) return;
    const began = performance.now();
    const layout = state.layout;
    const { shown, hidden } = choose(data, layout, state.cap, state.selected);
    for (const id of state.lit ?? []) if (place.has(id)) shown.add(place.get(id));
    state.shown = shown;
    state.pinned = new Set(layout.pins);
    state.plan = arrange(data, shown, box.clientWidth, box.clientHeight);
    state.edges = [];
    let mass = 0, reached = 0;
    for (let e = 0; e < data.source.length; e++) if (shown.has(data.source[e]) && shown.has(data.target[e])) { state.edges.push(e); mass += Math.abs(data.weight[e]); }
    state.edges.sort((a, b) => Math.abs(data.weight[b]) - Math.abs(data.weight[a]));
    if (layout.mass < 1) state.edges = state.edges.filter((e) => { const inside = reached < layout.mass * mass; reached += Math.abs(data.weight[e]); return inside; });
    state.strongest = Math.abs(data.weight[state.edges[0]] ?? 1) || 1;
    state.drawn = new Set(state.edges.slice(0, EDGES));
    for (const [name, value] of [["share", layout.share], ["mass", layout.mass], ["density", Math.log10(Math.max(layout.density, 1e-4))]]) if (part(name)) part(name).value = value;
    part("share-text").textContent = `${Math.round(100 * layout.share)} %`;
    part("mass-text").textContent = `${Math.round(100 * layout.mass)} %`;
    part("errors").checked = layout.errors;
    part("undo").disabled = !state.undo.length;
    part("redo").disabled = !state.redo.length;
    part("mode").setAttribute("aria-pressed", state.mode === "subgraph");
    chips(hidden, state.drawn.size);
    svg.textContent = "";
    state.marks = new Map();
    if (state.mode === "subgraph") boxes(); else marks();
    paint();
    box.dataset.ms = (performance.now() - began).toFixed(1);
  };
  const marks = () => {
    let largest = 1e-9;
    for (const at of state.shown) if (!FREE.has(data.nodes[at].kind)) largest = Math.max(largest, data.nodes[at].influence);
    const all = document.createDocumentFragment();
    for (const at of state.shown) {
      const node = data.nodes[at], group = document.createElementNS(SVG, "g");
      const grow = FREE.has(node.kind) ? 1.15 : 0.65 + 0.6 * Math.sqrt(node.influence / largest);
      group.append(shape(node.kind, state.plan.radius * grow));
      if (node.id in state.badges) group.append(badge(state.badges[node.id], state.plan.radius * grow));
      group.dataset.at = at;
      group.setAttribute("class", `node ${node.kind} ${node.effect < 0 ? "minus" : "plus"}`);
      all.append(group);
      state.marks.set(at, group);
    }
    svg.append(all);
  };
  const boxes = () => {
    state.parts = collapse(data, state.layout, nameOf);
    seat(data, state.parts, state.plan, state.layout, box.clientWidth, box.clientHeight);
    state.parts.items.forEach((item, i) => {
      const group = document.createElementNS(SVG, "g"), rect = document.createElementNS(SVG, "rect"), text = document.createElementNS(SVG, "text");
      const effect = item.members.reduce((sum, at) => sum + data.nodes[at].effect, 0);
      for (const [name, value] of [["x", -item.width / 2], ["y", -item.height / 2], ["width", item.width], ["height", item.height], ["rx", 5]]) rect.setAttribute(name, value);
      text.textContent = item.group ? `${item.text} ×${item.members.length}` : item.text;
      text.setAttribute("text-anchor", "middle");
      text.setAttribute("dy", "0.34em");
      group.append(rect, text);
      group.dataset.item = i;
      group.setAttribute("class", `item ${item.group ? "super" : data.nodes[item.members[0]].kind} ${effect < 0 ? "minus" : "plus"}`);
      group.setAttribute("transform", `translate(${item.x} ${item.y})`);
      svg.append(group);
    });
  };

  const paintEdges = (look, at) => {
    const pen = sharpCanvas(canvas, box.clientWidth, box.clientHeight);
    pen.clearRect(0, 0, box.clientWidth, box.clientHeight);
    grid(pen, look);
    const curve = ([x0, y0], [x1, y1], colour, width) => {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.bezierCurveTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1);
      pen.stroke();
    };
    if (state.mode === "subgraph") {
      const largest = Math.abs(state.parts.edges[0]?.[2] ?? 1);
      for (const [from, to, worth] of state.parts.edges) {
        const [a, b] = [state.parts.items[from], state.parts.items[to]], size = Math.sqrt(Math.abs(worth) / largest);
        const near = state.item === null || state.item === undefined || state.item === from || state.item === to;
        curve([a.x, a.y - a.height / 2], [b.x, b.y + b.height / 2], rgb(worth < 0 ? look.orange : look.blue, near ? 0.25 + 0.6 * size : 0.05), 0.5 + 4 * size);
      }
      return;
    }
    const lit = new Set((state.lit ?? []).slice(1).map((id, i) => `${place.get(state.lit[i])}|${place.get(id)}`));
    const quiet = at !== null || lit.size > 0;
    const faint = (quiet ? 0.07 : 0.45) * Math.min(1, Math.sqrt(500 / Math.max(1, state.drawn.size)));
    const line = (e, strong) => {
      const size = Math.sqrt(Math.abs(data.weight[e]) / state.strongest), side = data.weight[e] < 0 ? look.orange : look.blue;
      curve(toScreen(state.plan.spots.get(data.source[e])), toScreen(state.plan.spots.get(data.target[e])),
        rgb(side, strong ? 0.35 + 0.6 * size : faint * (0.25 + size)), strong ? 0.8 + 3 * size : 0.4 + 1.3 * size);
    };
    for (const e of state.drawn) if (data.source[e] !== at && data.target[e] !== at) line(e, false);
    if (at !== null && !lit.size) for (const e of state.edges) if (data.source[e] === at || data.target[e] === at) line(e, true);
    if (lit.size) for (let e = 0; e < data.source.length; e++) if (lit.has(`${data.source[e]}|${data.target[e]}`))
      curve(toScreen(state.plan.spots.get(data.source[e])), toScreen(state.plan.spots.get(data.target[e])), rgb(data.weight[e] < 0 ? look.orange : look.blue, 0.95), 3.2);
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
    const spans = state.plan.columns.map((span) => span.map((x) => toScreen([x, 0])[0]));
    pen.strokeStyle = rgb(look.ink, 0.08);
    for (const [, x1] of spans) {
      pen.beginPath();
      pen.moveTo(x1, 0);
      pen.lineTo(x1, low - 12);
      pen.stroke();
    }
    pen.fillStyle = rgb(look.ink, 0.9);
    state.labelled = tokenLabels(pen, data.tokens.map(visible), spans, 42, box.clientWidth);
    for (const label of state.labelled) pen.fillText(label.text, label.x, low);
  };

  const matcher = () => {
    const wanted = part("find").value.trim();
    if (!wanted) return () => false;
    try { const found = new RegExp(wanted, "i"); return (text) => found.test(text); }
    catch { return (text) => text.toLowerCase().includes(wanted.toLowerCase()); }
  };

  const paint = () => {
    if (!box.clientWidth || !state.plan) return;
    const look = theme(root), at = focus();
    paintEdges(look, at);
    if (state.mode === "subgraph") return;
    const near = neighbours(at), self = at === null ? null : data.nodes[at], lit = new Set(state.lit ?? []);
    const grow = Math.pow(state.view[0], 0.45), found = matcher();
    const grouped = new Set(state.layout.groups.flatMap((group) => group.members));
    for (const [i, group] of state.marks) {
      const node = data.nodes[i], [x, y] = toScreen(state.plan.spots.get(i));
      group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${grow.toFixed(3)})`);
      const classes = group.classList;
      classes.toggle("dim", lit.size ? !lit.has(node.id) : at !== null && !near.has(i));
      classes.toggle("selected", node.id === state.selected);
      classes.toggle("pinned", state.pinned.has(node.id));
      classes.toggle("grouped", grouped.has(node.id));
      classes.toggle("picked", state.picked.has(i));
      classes.toggle("twin", Boolean(self) && self.kind === "feature" && node.kind === "feature" && node.unit === self.unit && i !== at);
      classes.toggle("found", found(`${nameOf(node)} ${node.unit} ${node.id}`));
    }
  };

  const select = (at) => {
    state.selected = at === null ? null : data.nodes[at].id;
    paint();
    setTriggerValue("picked", { value: state.selected });
  };
  const pin = (ids) => {
    const all = ids.every((id) => state.layout.pins.includes(id));
    const rest = state.layout.pins.filter((id) => !ids.includes(id));
    commit({ pins: all ? rest : [...rest, ...ids] });
  };
  const chosen = () => {
    const ids = [...state.picked].map((at) => data.nodes[at].id);
    return ids.length ? ids : state.selected ? [state.selected] : [];
  };
  const ask = (start, then) => {
    const input = part("namer");
    input.value = start;
    input.style.display = "block";
    input.focus();
    input.select();
    input.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" && event.key !== "Escape") return;
      input.style.display = "none";
      box.focus();
      if (event.key === "Enter" && input.value.trim()) then(input.value.trim().slice(0, 120));
    };
    input.onblur = () => { input.style.display = "none"; };
  };
  const freeName = (wanted, except) => {
    const taken = new Set(state.layout.groups.filter((group) => group !== except).map((group) => group.name));
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted} (${n})`;
    return name;
  };
  const gather = () => {
    const ids = chosen().filter((id) => !FREE.has(data.nodes[place.get(id)].kind));
    if (!ids.length) return;
    ask(sharedWords(ids.map((id) => nameOf(data.nodes[place.get(id)]))), (wanted) => {
      const left = state.layout.groups.map((group) => ({ ...group, members: group.members.filter((id) => !ids.includes(id)) }))
        .filter((group) => group.members.length);
      const taken = new Set(left.map((group) => group.name));
      let name = wanted;
      for (let n = 2; taken.has(name); n++) name = `${wanted} (${n})`;
      state.picked.clear();
      commit({ groups: [...left, { name, members: ids, rationale: "" }], pins: [...new Set([...state.layout.pins, ...ids])] });
    });
  };
  const scatter = () => {
    const gone = new Set(chosen().map(groupOf).filter(Boolean));
    if (gone.size) commit({ groups: state.layout.groups.filter((group) => !gone.has(group)) });
  };
  const rename = (group) => ask(group.name, (wanted) => {
    const name = freeName(wanted, group);
    const moves = { ...state.layout.moves };
    if (moves[`group:${group.name}`]) { moves[`group:${name}`] = moves[`group:${group.name}`]; delete moves[`group:${group.name}`]; }
    commit({ groups: state.layout.groups.map((one) => (one === group ? { ...one, name } : one)), moves });
  });

  const describe = (at) => (card) => {
    const node = data.nodes[at], home = groupOf(node.id);
    const facts = [["kind", node.kind], ["layer", node.layer < 0 ? "embedding" : node.layer === data.n_layers ? "output" : node.layer],
      ["position", `${node.position} ${visible(data.tokens[node.position])}`], ["activation", number(node.activation)],
      ["influence", percent(node.influence)], ["effect", number(node.effect)]];
    if (node.density !== undefined) facts.push(["fires on", `${percent(node.density)} of tokens`]);
    if (home) facts.push(["group", home.name]);
    if (node.id in state.badges) facts.push(["tested", state.badges[node.id] ? "✓ as predicted" : "✗ not as predicted"]);
    tipFacts(card, clip(nameOf(node) || node.id, 300), facts, false);
  };
  const describeToken = (i) => (card) => tipFacts(card, clip(data.tokens[i], 300), [["position", i]]);
  const describeItem = (i) => (card) => {
    const item = state.parts.items[i];
    const flows = state.parts.edges.filter((edge) => edge[0] === i || edge[1] === i).slice(0, 6)
      .map((edge) => [clip(edge[0] === i ? `to ${state.parts.items[edge[1]].label}` : `from ${state.parts.items[edge[0]].label}`, 40), `${(100 * edge[2]).toFixed(2)} %`]);
    tipFacts(card, clip(item.label, 300), [["nodes", item.members.length], ...flows], false);
  };
  const fit = () => { state.view = [1, 0, 0]; paint(); };
  const nodeOf = (event) => {
    const group = event.target.closest?.("g.node");
    return group ? Number(group.dataset.at) : null;
  };
  const itemOf = (event) => {
    const group = event.target.closest?.("g.item");
    return group ? Number(group.dataset.item) : null;
  };
  const local = (event) => { const at = svg.getBoundingClientRect(); return [event.clientX - at.left, event.clientY - at.top]; };

  // The column of the row of tokens that lies under the pointer: its label may be cut or left out.
  const tokenAt = ([x, y]) => state.mode === "graph" && y > box.clientHeight - 32
    ? state.plan.columns.findIndex(([x0, x1]) => toScreen([x0, 0])[0] <= x && x < toScreen([x1, 0])[0]) : -1;

  svg.onpointerdown = (event) => {
    box.focus({ preventScroll: true });
    state.shift = 0;
    state.drag = { from: [event.clientX, event.clientY], view: [...state.view], item: itemOf(event), lasso: event.shiftKey ? local(event) : null };
  };
  svg.onpointermove = (event) => {
    const drag = state.drag;
    if (drag && event.buttons) {
      const dx = event.clientX - drag.from[0], dy = event.clientY - drag.from[1];
      state.shift = Math.max(state.shift, Math.hypot(dx, dy));
      if (state.shift > 4) {
        svg.setPointerCapture(event.pointerId);
        tip.hide();
        if (drag.lasso) {
          const [x, y] = local(event), [x0, y0] = drag.lasso;
          drag.box = [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
          Object.assign(part("lasso").style, { display: "block", left: `${drag.box[0]}px`, top: `${drag.box[1]}px`,
            width: `${drag.box[2] - drag.box[0]}px`, height: `${drag.box[3] - drag.box[1]}px` });
        } else if (drag.item !== null) {
          const item = state.parts.items[drag.item];
          drag.start ??= [item.x, item.y];
          [item.x, item.y] = [drag.start[0] + dx, drag.start[1] + dy];
          svg.querySelector(`[data-item="${drag.item}"]`)?.setAttribute("transform", `translate(${item.x} ${item.y})`);
          requestAnimationFrame(paint);
        } else if (state.mode === "graph") {
          state.view = [drag.view[0], drag.view[1] + dx, drag.view[2] + dy];
          requestAnimationFrame(paint);
        }
        return;
      }
    }
    const over = nodeOf(event), item = itemOf(event);
    let token = -1;
    if (over !== null) tip.show(event, describe(over));
    else if (item !== null) tip.show(event, describeItem(item));
    else if ((token = tokenAt(local(event))) >= 0) tip.show(event, describeToken(token));
    else tip.hide();
    if (over !== state.over || item !== (state.item ?? null)) { state.over = over; state.item = item; paint(); }
  };
  svg.onpointerup = () => {
    const drag = state.drag;
    state.drag = null;
    part("lasso").style.display = "none";
    if (drag?.box) {
      const [x0, y0, x1, y1] = drag.box;
      for (const at of state.marks.keys()) {
        const [x, y] = toScreen(state.plan.spots.get(at));
        if (x >= x0 && x <= x1 && y >= y0 && y <= y1) state.picked.add(at);
      }
      rebuild();
    } else if (drag?.start) {
      const item = state.parts.items[drag.item];
      commit({ moves: { ...state.layout.moves, [item.key]: [item.x / box.clientWidth, item.y / box.clientHeight] } });
    }
  };
  svg.onpointerleave = () => { tip.hide(); if (state.over !== null || state.item != null) { state.over = state.item = null; paint(); } };
  svg.onclick = (event) => {
    if (state.shift > 4) return;
    const item = itemOf(event), at = item === null ? nodeOf(event) : state.parts.items[item].members[0];
    if (item !== null && state.parts.items[item].group) state.picked = new Set(state.parts.items[item].members);
    if (at !== null && (event.ctrlKey || event.metaKey)) pin(item === null ? [data.nodes[at].id] : state.parts.items[item].members.map((m) => data.nodes[m].id));
    else if (at !== null && event.shiftKey) { if (!state.picked.delete(at)) state.picked.add(at); rebuild(); }
    else if (at !== null || state.selected !== null) select(at);
  };
  svg.ondblclick = (event) => {
    const item = itemOf(event), at = nodeOf(event);
    const group = item !== null ? state.parts.items[item].group : at !== null ? groupOf(data.nodes[at].id) : null;
    if (group) rename(group); else fit();
  };
  svg.onwheel = (event) => {
    event.preventDefault();
    if (state.mode === "subgraph") return;
    const [x, y] = local(event);
    const scale = Math.max(0.6, Math.min(30, state.view[0] * Math.exp(-event.deltaY * 0.0015))), ratio = scale / state.view[0];
    state.view = [scale, x - (x - state.view[1]) * ratio, y - (y - state.view[2]) * ratio];
    requestAnimationFrame(paint);
  };
  const toggleMode = () => { state.mode = state.mode === "graph" ? "subgraph" : "graph"; state.item = state.over = null; rebuild(); };
  const acts = { g: gather, u: scatter, p: () => chosen().length && pin(chosen()), s: toggleMode, f: fit,
    "/": () => part("find").focus(), Escape: () => { state.picked.clear(); state.lit = null; select(null); rebuild(); } };
  box.onkeydown = (event) => {
    if (event.target !== box) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (event.shiftKey) travel(state.redo, state.undo); else travel(state.undo, state.redo);
    } else if (!event.ctrlKey && !event.metaKey && acts[event.key]) { event.preventDefault(); event.stopPropagation(); acts[event.key](); }
  };
  for (const [name, read] of [["share", Number], ["mass", Number], ["density", (value) => (Number(value) >= 0 ? 1 : 10 ** Number(value))]]) if (part(name)) {
    part(name).oninput = (event) => { state.layout = { ...state.layout, [name]: read(event.target.value) }; rebuild(); };
    part(name).onchange = () => commit({}, false);
  }
  part("errors").onchange = (event) => commit({ errors: event.target.checked }, false);
  part("find").oninput = paint;
  part("fit").onclick = fit;
  part("png").onclick = () => takePicture(canvas, svg, theme(root).background, `circuit-${String(data.id).slice(0, 12)}.png`);
  part("pin").onclick = acts.p;
  part("group").onclick = gather;
  part("ungroup").onclick = scatter;
  part("undo").onclick = () => travel(state.undo, state.redo);
  part("redo").onclick = () => travel(state.redo, state.undo);
  part("mode").onclick = toggleMode;
  part("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen());

  // What Python said last; the browser's own state stays where it said nothing new.
  const listen = () => {
    const told = window.workbenchGraphs?.[data.key];
    if (!told || told.id !== data.id) return false;
    const moved = adoptStart(state, told.start);
    const laid = state.seenLayout !== told.layout.n;
    if (laid) {
      if (state.seenLayout >= 0) state.undo.push(JSON.stringify(state.layout));
      [state.seenLayout, state.layout] = [told.layout.n, { ...LAYOUT(data), ...(told.layout.selected ?? {}) }];
    }
    const words = JSON.stringify([told.labels, told.badges, told.lit]);
    const worded = state.words !== words;
    if (worded) {
      if (JSON.stringify(state.told) !== JSON.stringify(told.lit)) state.lit = told.lit?.length ? told.lit : null;
      Object.assign(state, { words, labels: told.labels, badges: told.badges, told: told.lit });
    }
    if (laid || worded || (moved && focus() !== null && !state.shown?.has(focus()))) rebuild();
    else if (moved) paint();
    return laid;
  };
  const heard = (event) => { if (event.detail === data.key) listen(); };
  window.addEventListener("workbench-graph", heard);
  if (!listen() && fresh) rebuild();
  const stop = onChange(box, rebuild);
  return () => { stop(); window.removeEventListener("workbench-graph", heard); tip.hide(); };
}

const badge = (passed, size) => {
  const mark = document.createElementNS(SVG, "text");
  mark.textContent = passed ? "✓" : "✗";
  mark.setAttribute("class", `badge ${passed ? "pass" : "fail"}`);
  mark.setAttribute("x", size * 0.9);
  mark.setAttribute("y", -size * 0.6);
  return mark;
};

function frame(root, data) {
  root.querySelectorAll(":scope > :not(.tip)").forEach((node) => node.remove());
  const bar = make("div", "bar");
  const label = (text, ...nodes) => { const node = make("label", "", text); node.append(...nodes); return node; };
  const slider = (name, from, to, step, value, about) => {
    const node = Object.assign(make("input", `${name} dial`), { type: "range", min: from, max: to, step, value });
    node.setAttribute("aria-label", about);
    return node;
  };
  const button = (name, text, about) => Object.assign(make("button", name, text), { title: about });
  const errors = Object.assign(make("input", "errors"), { type: "checkbox", checked: true });
  const find = Object.assign(make("input", "find"), { type: "search", placeholder: "Find: label, regex, id ( / )" });
  find.setAttribute("aria-label", "Find a node");
  bar.append(label("Influence kept ", slider("share", 0.2, 1, 0.01, data.share, "Influence kept")), make("span", "share-text"),
    label("Edge weight ", slider("mass", 0.05, 1, 0.01, 1, "Edge weight kept")), make("span", "mass-text"));
  if (data.nodes.some((node) => node.density !== undefined)) bar.append(label("Density ", slider("density", -4, 0, 0.1, 0, "Largest density")));
  bar.append(label("Errors ", errors), find,
    button("pin", "Pin", "p, or Ctrl-click"), button("group", "Group", "g"), button("ungroup", "Ungroup", "u"),
    button("undo", "↶", "Undo: Ctrl-Z"), button("redo", "↷", "Redo: Ctrl-Shift-Z"), button("mode", "Subgraph", "s: what is pinned and grouped"),
    button("fit", "Fit", "f, or double-click"), button("png", "PNG", "this picture as a file"), button("full", "Full screen", "the whole screen"));
  const box = make("div", "box");
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  box.setAttribute("aria-label", "Circuit graph; the connections of the selected node are in the table beside it");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "nodes");
  const namer = make("input", "namer");
  namer.setAttribute("aria-label", "Name of the group");
  box.append(make("canvas", "edges"), svg, make("div", "lasso"), namer);
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
    make("span", "hint", "click selects · Ctrl-click pins · Shift-drag picks · g groups · u ungroups · double-click renames, fits · wheel zooms"));
  root.append(bar, make("div", "chips"), box, key);
}
