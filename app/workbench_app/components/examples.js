// Text windows in which a unit fires, each token shaded by its activation; hover tells the number.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const tip = tooltip(root);
  if (root.shown === data.id) return () => tip.hide();
  root.shown = data.id;
  root.querySelectorAll(":scope > :not(.tip)").forEach((node) => node.remove());
  for (const row of data.rows) {
    const line = make("div", "example");
    const text = make("div", "text");
    row.tokens.forEach((token, at) => {
      const node = tokenInto(make("span", at === row.peak ? "piece peak" : "piece"), token);
      const level = Math.min(1, Math.abs(row.values[at]) / (data.maximum || 1));
      const hue = row.values[at] < 0 ? "--st-orange-color" : "--st-blue-color";
      node.style.background = `color-mix(in srgb, var(${hue}) ${Math.round(70 * level)}%, transparent)`;
      node.onmousemove = (event) => tip.show(event, (box) => tipFacts(box, token, [["activation", number(row.values[at])]]));
      node.onmouseleave = tip.hide;
      text.append(node);
    });
    if (data.clickable) {
      line.classList.add("clickable");
      line.tabIndex = 0;
      line.setAttribute("role", "button");
      line.onclick = () => setTriggerValue("picked", { value: data.rows.indexOf(row) });
      line.onkeydown = (event) => event.key === "Enter" && line.onclick();
    }
    line.append(make("div", "score", number(row.activation)), text, make("div", "source", row.source));
    root.append(line);
  }
  return () => tip.hide();
}
