// What of a circuit graph is drawn, and where. Nothing is simulated: the same view is always drawn alike.
const SVG = "http://www.w3.org/2000/svg";
const STEP = 500, EDGES = 2500;
const FREE = new Set(["embed", "logit"]);

// Tokens and targets always; the rest by influence, up to a cumulative share and a count.
const choose = (data, layout, cap, selected) => {
  const shown = new Set(), hidden = { influence: 0, errors: 0, density: 0, cap: 0 };
  const ranked = data.nodes.map((node, at) => at).filter((at) => !FREE.has(data.nodes[at].kind))
    .sort((a, b) => data.nodes[b].influence - data.nodes[a].influence || a - b);
  const total = ranked.reduce((sum, at) => sum + data.nodes[at].influence, 0) || 1;
  const held = new Set([...layout.pins, ...layout.groups.flatMap((group) => group.members)]);
  let reached = 0;
  data.nodes.forEach((node, at) => FREE.has(node.kind) && shown.add(at));
  for (const at of ranked) {
    const node = data.nodes[at], inside = layout.share >= 1 || reached < layout.share * total;
    reached += node.influence;
    if (held.has(node.id) || node.id === selected) shown.add(at);
    else if (!layout.errors && node.kind === "error") hidden.errors++;
    else if (layout.density < 1 && (node.density ?? 0) > layout.density) hidden.density++;
    else if (!inside) hidden.influence++;
    else if (shown.size >= cap) hidden.cap++;
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

// Labels of the tokens below their columns: cut to their room, left out where the one before it still stands.
const tokenLabels = (pen, texts, spans, left, width) => {
  const labels = [];
  let free = left;
  texts.forEach((text, i) => {
    const [x0, x1] = spans[i], whole = pen.measureText(text).width, room = Math.min(whole, Math.max(x1 - x0 - 4, 34));
    const start = Math.max(left, (x0 + x1 - room) / 2);
    if (x1 < left || x0 > width || start < free) return;
    let shown = text;
    for (let count = Math.ceil((text.length * room) / whole); shown !== "…" && pen.measureText(shown).width > room + 0.5; count--)
      shown = `${text.slice(0, Math.max(0, count))}…`;
    labels.push({ text: shown, x: start, at: i });
    free = start + room + 6;
  });
  return labels;
};

// The subgraph: pinned nodes, and each group as one box; between them what influence their edges hand on.
const collapse = (data, layout, name) => {
  const homes = new Map(), items = [];
  const place = new Map(data.nodes.map((node, at) => [node.id, at]));
  const add = (key, label, members, group) => {
    if (!members.length) return;
    items.push({ key, label, members, group });
    members.forEach((at) => homes.set(at, items.length - 1));
  };
  for (const group of layout.groups)
    add(`group:${group.name}`, group.name, group.members.map((id) => place.get(id)).filter((at) => at !== undefined), group);
  for (const id of layout.pins) if (place.has(id) && !homes.has(place.get(id))) add(id, name(data.nodes[place.get(id)]), [place.get(id)], null);
  data.nodes.forEach((node, at) => FREE.has(node.kind) && !homes.has(at) && add(node.id, name(node), [at], null));
  const sums = new Map();
  for (let e = 0; e < data.source.length; e++) {
    const from = homes.get(data.source[e]), to = homes.get(data.target[e]);
    if (from === undefined || to === undefined || from === to) continue;
    const worth = data.nodes[data.target[e]].influence * data.weight[e] / (data.norm[data.target[e]] || 1);
    const key = `${from}|${to}`;
    sums.set(key, (sums.get(key) ?? 0) + worth);
  }
  const edges = [...sums].map(([key, worth]) => [...key.split("|").map(Number), worth]).filter((edge) => edge[2])
    .sort((a, b) => Math.abs(b[2]) - Math.abs(a[2])).slice(0, 400);
  // Tokens that hand on next to nothing would only crowd the rest.
  const least = 0.03 * Math.abs(edges[0]?.[2] ?? 0);
  const busy = new Set(edges.filter((edge) => Math.abs(edge[2]) >= least).flatMap((edge) => edge.slice(0, 2)));
  const kept = items.map((item, i) => item.group || data.nodes[item.members[0]].kind !== "embed" || layout.pins.includes(item.key) || busy.has(i));
  const fresh = [];
  items.forEach((_, i) => kept[i] && (fresh[i] = fresh.reduce((n) => n + 1, 0)));
  return { items: items.filter((_, i) => kept[i]),
    edges: edges.filter((edge) => kept[edge[0]] && kept[edge[1]]).map((edge) => [fresh[edge[0]], fresh[edge[1]], edge[2]]) };
};

const clip = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// Boxes of the subgraph: over their mean token and layer, moved up or down past what stands there already.
const seat = (data, parts, plan, layout, width, height) => {
  const taken = [];
  const mean = (list, of) => list.reduce((sum, at) => sum + of(data.nodes[at]), 0) / list.length;
  const order = parts.items.map((_, i) => i).sort((a, b) => mean(parts.items[a].members, (n) => n.layer) - mean(parts.items[b].members, (n) => n.layer) || a - b);
  for (const i of order) {
    const item = parts.items[i];
    const [first, last] = plan.columns[Math.round(mean(item.members, (node) => node.position))];
    item.text = clip(item.label.replace(/^token /, ""), 22);
    item.width = Math.max(34, 6.3 * item.text.length + (item.group ? 30 : 14));
    item.height = 21;
    let x = (first + last) / 2, y = plan.row(mean(item.members, (node) => node.layer));
    x = Math.max(46 + item.width / 2, Math.min(width - 8 - item.width / 2, x));
    const clear = (at) => taken.every((box) => Math.abs(box.x - x) > (box.width + item.width) / 2 + 4 || Math.abs(box.y - at) > 25);
    for (let n = 0; n < 60; n++) {
      const at = y + (n % 2 ? 1 : -1) * Math.ceil(n / 2) * 25;
      if (at > 14 && at < height - 40 && clear(at)) { y = at; break; }
    }
    const moved = layout.moves[item.key];
    if (moved) [x, y] = [moved[0] * width, moved[1] * height];
    taken.push(Object.assign(item, { x, y }));
  }
};

// Words that the labels of several nodes share, for the name of their group.
const sharedWords = (labels) => {
  const lists = labels.map((label) => label.replace(/^L\d+ \w+ \d+:?\s*/, "").split(/\s+/).filter(Boolean));
  const counts = new Map();
  for (const words of lists) for (const word of new Set(words)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const best = [...counts].filter(([, n]) => n > 1).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([word]) => word);
  return best.join(" ") || lists.find((words) => words.length)?.slice(0, 3).join(" ") || "group";
};
