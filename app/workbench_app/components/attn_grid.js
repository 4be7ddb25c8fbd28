// Every layer and head as one canvas of small maps, from raw bytes: length of the header, header, maps.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const state = (root.state ??= { selected: null, seen: -1, over: null });
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const info = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const maps = bytes.subarray(4 + length);
  adoptStart(state, info.start);
  const tip = tooltip(root);
  const side = info.side, left = 34, top = 20, gap = 3;

  let canvas = root.querySelector("canvas");
  if (!canvas) {
    const box = make("div", "scroll");
    canvas = make("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    box.append(canvas);
    root.append(box);
  }
  canvas.setAttribute("aria-label", `Attention patterns of ${info.layers} layers by ${info.heads} heads`);
  const size = () => Math.max(26, Math.min(76, Math.floor((root.clientWidth - left) / info.layers) - gap));

  // Pictures of the maps in one sheet, painted once per colour scheme.
  const sheet = (look) => {
    const key = `${info.id}|${look.background}`;
    if (state.sheetKey === key) return state.sheet;
    const count = info.layers * info.heads;
    const page = make("canvas");
    page.width = side * info.layers;
    page.height = side * info.heads;
    const pen = page.getContext("2d");
    const ramp = Array.from({ length: 256 }, (_, value) => shade(look, Math.sqrt(value / 255)));
    for (let at = 0; at < count; at++) {
      const picture = pen.createImageData(side, side);
      for (let i = 0; i < side * side; i++) picture.data.set([...ramp[maps[at * side * side + i]], 255], 4 * i);
      pen.putImageData(picture, side * Math.floor(at / info.heads), side * (at % info.heads));
    }
    [state.sheet, state.sheetKey] = [page, key];
    return page;
  };
  const frame = (pen, layer, head, step, colour, width) => {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.strokeRect(left + layer * step - 1, top + head * step - 1, step - gap + 2, step - gap + 2);
  };
  const draw = () => {
    if (!root.clientWidth) return;
    const began = performance.now(), look = theme(root), step = size() + gap;
    const pen = sharpCanvas(canvas, left + step * info.layers + 2, top + step * info.heads + 2);
    const page = sheet(look);
    pen.imageSmoothingEnabled = side > step;
    for (let layer = 0; layer < info.layers; layer++)
      for (let head = 0; head < info.heads; head++) {
        pen.drawImage(page, side * layer, side * head, side, side, left + layer * step, top + head * step, step - gap, step - gap);
        frame(pen, layer, head, step, look.border, 0.6);
      }
    pen.fillStyle = look.text;
    pen.font = `11px ${look.font}`;
    pen.textBaseline = "middle";
    for (let head = 0; head < info.heads; head++) pen.fillText(`h${head}`, 6, top + head * step + step / 2);
    pen.textAlign = "center";
    for (let layer = 0; layer < info.layers; layer++) pen.fillText(String(layer), left + layer * step + step / 2 - 1, 9);
    if (state.over) frame(pen, ...state.over, step, look.text, 1.5);
    if (state.selected) frame(pen, ...state.selected, step, look.primary, 3);
    const ms = (performance.now() - began).toFixed(1);
    Object.assign(canvas.dataset, { ms, first: canvas.dataset.first ?? ms, step });
  };
  const find = (event) => {
    const place = canvas.getBoundingClientRect(), step = size() + gap;
    const layer = Math.floor((event.clientX - place.left - left) / step), head = Math.floor((event.clientY - place.top - top) / step);
    return layer >= 0 && head >= 0 && layer < info.layers && head < info.heads ? [layer, head] : null;
  };
  const describe = ([layer, head]) => (card) => {
    const scores = info.scores[layer * info.heads + head];
    tipFacts(card, `layer ${layer}, head ${head}`, info.names.map((name, i) => [name, number(scores[i])]), false);
  };
  const select = (place) => {
    state.selected = place;
    draw();
    setTriggerValue("picked", { value: place });
  };
  canvas.onmousemove = (event) => {
    const over = find(event);
    const changed = String(over) !== String(state.over);
    state.over = over;
    if (over) tip.show(event, describe(over)); else tip.hide();
    if (changed) draw();
  };
  canvas.onmouseleave = () => { state.over = null; tip.hide(); draw(); };
  canvas.onclick = (event) => { const place = find(event); if (place) select(place); };
  canvas.onkeydown = (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [layer, head] = state.selected || [0, 0];
    select([Math.max(0, Math.min(info.layers - 1, layer + step[0])), Math.max(0, Math.min(info.heads - 1, head + step[1]))]);
  };
  draw();
  const stop = onChange(root, draw);
  return () => { stop(); tip.hide(); };
}
