// Rows of text, a bar and a number; a click tells Python which row.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const tip = tooltip(root);
  if (root.shown === data.id) return () => tip.hide();
  root.shown = data.id;
  root.querySelectorAll(":scope > :not(.tip)").forEach((node) => node.remove());
  if (data.title) root.append(make("div", "caption", data.title));
  const list = make("div", "rows");
  list.setAttribute("role", "list");
  list.style.setProperty("--number", `${Math.max(6, ...data.rows.map((row) => row.text.length))}ch`);
  const largest = Math.max(1e-12, ...data.rows.map((row) => Math.abs(row.value)));
  for (const row of data.rows) {
    const line = make(row.key ? "button" : "div", row.marked ? "row marked" : "row");
    line.setAttribute("role", "listitem");
    const label = row.token ? tokenInto(make("span", "label token"), row.label) : make("span", "label", row.label);
    const track = make("span", data.signed ? "track signed" : "track");
    const bar = make("i", row.value < 0 ? "minus" : "plus");
    bar.style.width = `${((data.signed ? 50 : 100) * Math.abs(row.value)) / largest}%`;
    track.append(bar);
    line.append(label, track, make("span", "number", row.text));
    if (row.facts) {
      line.onmousemove = (event) => tip.show(event, (box) => tipFacts(box, row.label, row.facts, row.token));
      line.onmouseleave = tip.hide;
    }
    if (row.key) line.onclick = () => setTriggerValue("picked", { value: row.key });
    list.append(line);
  }
  root.append(list);
  if (!data.rows.length) root.append(make("div", "muted", data.empty || "Nothing to show."));
  return () => tip.hide();
}
