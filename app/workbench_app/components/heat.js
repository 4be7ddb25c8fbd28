// Rows by columns as one canvas that draws only what is in view; hover explains, click selects a cell.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const state = (root.state ??= { selected: null, seen: -1 });
  adoptStart(state, data.start);
  const tip = tooltip(root);
  const rows = data.rows.length, columns = data.columns.length;
  const printed = data.cells.length > 0;
  const square = rows === columns;
  const longest = (texts, least, most) => Math.max(least, Math.min(most, 12 + 6.5 * Math.max(0, ...texts.map((text) => text.length))));
  const left = printed ? 40 : longest(data.rows, 34, 84), top = printed ? 22 : longest(data.columns, 24, 74);
  const wide = printed ? 62 : Math.max(9, Math.min(square ? 30 : 44, Math.floor((Math.min(740, root.clientWidth || 740) - left) / columns)));
  const tall = printed ? 21 : square ? wide : Math.max(9, Math.min(30, wide, Math.floor(620 / rows)));

  let box = root.querySelector(".scroll");
  if (!box) {
    box = make("div", "scroll");
    box.tabIndex = 0;
    box.setAttribute("role", "img");
    box.append(make("div", "spacer"), make("canvas"));
    const legend = make("div", "legend");
    legend.append(make("span"), make("span"), make("span", "ramp"), make("span"));
    root.append(box, legend);
  }
  box.setAttribute("aria-label", data.title);
  const [name, low, , high] = root.querySelector(".legend").children;
  [name.textContent, low.textContent, high.textContent] = [data.title, number(data.low), number(data.high)];
  const signed = data.low < 0;
  root.querySelector(".legend").classList.toggle("signed", signed);
  const [spacer, canvas] = box.children;
  spacer.style.width = `${left + columns * wide}px`;
  spacer.style.height = `${top + rows * tall}px`;
  box.style.height = `${Math.min(printed ? 760 : 720, top + rows * tall)}px`;

  const fit = (pen, text, width) => {
    let short = visible(text);
    while (short.length > 1 && pen.measureText(short).width > width) short = short.slice(0, -1);
    return short;
  };
  const level = (value) =>
    value === null ? 0 : signed ? value / (value < 0 ? -data.low : data.high || 1) : (value - data.low) / (data.high - data.low || 1);
  const inView = (offset, size, count, length) =>
    [Math.max(0, Math.floor(offset / size)), Math.min(count, Math.ceil((offset + length) / size) + 1)];

  const cell = (pen, look, row, column) => {
    const at = row * columns + column;
    const x = left + column * wide - box.scrollLeft, y = top + row * tall - box.scrollTop;
    const colour = shade(look, signed ? 0.94 * level(data.values[at]) : 0.04 + 0.9 * level(data.values[at]));
    pen.fillStyle = rgb(colour);
    pen.fillRect(x, y, wide - (wide > 12 ? 1 : 0), tall - (tall > 12 ? 1 : 0));
    if (printed) {
      pen.fillStyle = inkOn(colour);
      pen.fillText(fit(pen, data.cells[at], wide - 6), x + 3, y + tall / 2);
    }
    if (state.selected && state.selected[0] === row && state.selected[1] === column) {
      pen.strokeStyle = look.orange ? rgb(look.orange) : look.primary;
      pen.lineWidth = 2.5;
      pen.strokeRect(x + 1, y + 1, wide - 3, tall - 3);
    }
  };
  const heads = (pen, look, width, height, [r0, r1], [c0, c1]) => {
    pen.fillStyle = look.background;
    pen.fillRect(0, 0, width, top);
    pen.fillRect(0, 0, left, height);
    for (let row = r0; row < r1; row++) {
      const y = top + row * tall - box.scrollTop + tall / 2;
      if (y < top) continue;
      pen.globalAlpha = row === state.over?.[0] ? 1 : 0.7;
      pen.fillStyle = look.text;
      if (tall >= 11 || row % 4 === 0) pen.fillText(fit(pen, data.rows[row], left - 8), 3, y);
    }
    for (let column = c0; column < c1; column++) {
      const x = left + column * wide - box.scrollLeft;
      if (x < left - 2) continue;
      pen.globalAlpha = column === state.over?.[1] || column === data.column ? 1 : 0.7;
      pen.fillStyle = look.text;
      pen.save();
      pen.translate(x + (printed ? 3 : wide / 2), printed ? 12 : top - 5);
      if (!printed) pen.rotate(-Math.PI / 3);
      if (printed || wide >= 9 || column % 4 === 0) pen.fillText(fit(pen, data.columns[column], printed ? wide - 5 : 74), 0, 0);
      pen.restore();
    }
    pen.globalAlpha = 1;
  };
  const draw = () => {
    const width = Math.min(box.clientWidth, left + columns * wide), height = Math.min(box.clientHeight, top + rows * tall);
    if (!width || !height) return;
    const look = theme(root);
    const pen = sharpCanvas(canvas, width, height);
    pen.clearRect(0, 0, width, height);
    pen.font = `${printed ? 11.5 : 11}px ${look.font}`;
    pen.textBaseline = "middle";
    const shownRows = inView(box.scrollTop, tall, rows, height), shownColumns = inView(box.scrollLeft, wide, columns, width);
    for (let row = shownRows[0]; row < shownRows[1]; row++)
      for (let column = shownColumns[0]; column < shownColumns[1]; column++) cell(pen, look, row, column);
    heads(pen, look, width, height, shownRows, shownColumns);
  };
  const find = (event) => {
    const place = canvas.getBoundingClientRect();
    const x = event.clientX - place.left, y = event.clientY - place.top;
    if (x < left || y < top) return null;
    const row = Math.floor((y - top + box.scrollTop) / tall), column = Math.floor((x - left + box.scrollLeft) / wide);
    return row < rows && column < columns ? [row, column] : null;
  };
  const describe = ([row, column]) => (card) => {
    const at = row * columns + column;
    tipFacts(card, data.columns[column], [["row", visible(data.rows[row])], [data.title, number(data.values[at])]]);
    if (data.tips.length) tipBars(card, "reads as", data.tips[at]);
  };
  const select = (place) => {
    state.selected = place;
    draw();
    setTriggerValue("picked", { value: place });
  };
  box.onscroll = () => { tip.hide(); draw(); };
  box.onmousemove = (event) => {
    const over = find(event);
    const changed = String(over) !== String(state.over);
    state.over = over;
    if (over) tip.show(event, describe(over)); else tip.hide();
    if (changed) draw();
  };
  box.onmouseleave = () => { state.over = null; tip.hide(); draw(); };
  box.onclick = (event) => { const place = find(event); if (place) select(place); };
  box.onkeydown = (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [row, column] = state.selected || [0, 0];
    select([Math.max(0, Math.min(rows - 1, row + step[0])), Math.max(0, Math.min(columns - 1, column + step[1]))]);
  };
  draw();
  const stop = onChange(root, draw);
  return () => { stop(); tip.hide(); };
}
