// A flow of tokens coloured by a value; click or keyboard selects one.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const state = (root.state ??= { selected: null, seen: -1 });
  const moved = adoptStart(state, data.start);
  const tip = tooltip(root);

  const mark = () => {
    for (const node of state.nodes) {
      const chosen = Number(node.dataset.at) === state.selected;
      node.setAttribute("aria-selected", chosen);
      node.tabIndex = chosen || (state.selected === null && node === state.nodes[0]) ? 0 : -1;
    }
  };
  const select = (at) => {
    state.selected = at;
    mark();
    setTriggerValue("picked", { value: at });
  };
  const describe = (at) => (box) => {
    tipFacts(box, data.tokens[at], [["position", at], ["token id", data.ids[at]], ...data.facts[at]]);
    if (data.tops.length) tipBars(box, "most likely after it", data.tops[at]);
  };

  const build = () => {
    root.querySelectorAll(":scope > :not(.tip)").forEach((node) => node.remove());
    const flow = make("div", "flow");
    flow.setAttribute("role", "listbox");
    flow.setAttribute("aria-label", "Tokens of the prompt");
    state.nodes = data.tokens.map((text, at) => {
      const node = tokenInto(make("span", data.special[at] ? "token special" : "token"), text);
      const level = data.values[at] === null ? 0 : Math.min(1, Math.abs(data.values[at]) / (data.maximum || 1));
      const hue = data.values[at] < 0 ? "--st-orange-color" : "--st-blue-color";
      node.style.setProperty("--paint", `color-mix(in srgb, var(${hue}) ${Math.round(72 * level)}%, transparent)`);
      node.dataset.at = at;
      node.setAttribute("role", "option");
      node.setAttribute("aria-label", `${visible(text)}, position ${at}`);
      flow.append(node);
      if (text.includes("\n")) flow.append(make("br"));
      return node;
    });
    const at = (event) => event.target.closest(".token")?.dataset.at;
    flow.onclick = (event) => at(event) !== undefined && select(Number(at(event)));
    flow.onmousemove = (event) => (at(event) === undefined ? tip.hide() : tip.show(event, describe(Number(at(event)))));
    flow.onmouseleave = tip.hide;
    flow.onkeydown = (event) => {
      const now = Number(event.target.dataset?.at ?? state.selected ?? 0);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) state.nodes[Math.max(0, Math.min(state.nodes.length - 1, now + step))].focus();
      else if (event.key === "Home") state.nodes[0].focus();
      else if (event.key === "End") state.nodes[state.nodes.length - 1].focus();
      else if (event.key === "Enter" || event.key === " ") select(now);
      else if (event.key === "Escape") select(null);
      else return;
      event.preventDefault();
    };
    const legend = make("div", "legend");
    const ramp = make("span", "ramp");
    legend.classList.toggle("signed", Boolean(data.signed));
    const least = data.signed ? number(-data.maximum) : "0";
    legend.append(make("span", "", data.measure), make("span", "", least), ramp, make("span", "", number(data.maximum)));
    root.prepend(flow, legend);
  };

  if (state.id !== data.id) {
    state.id = data.id;
    build();
    mark();
  } else if (moved) mark();
  return () => tip.hide();
}
