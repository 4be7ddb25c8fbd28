// The prompt: a text box whose draft is tokenised while you type; Ctrl+Enter or Run makes it the prompt.
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const state = (root.state ??= { seen: -1 });
  if (!state.box) {
    state.box = make("textarea");
    state.box.setAttribute("aria-label", "Prompt");
    state.box.placeholder = "Type a prompt; its tokens appear below while you type";
    state.box.rows = 3;
    state.foot = make("div", "foot");
    state.preview = make("div", "preview");
    state.count = make("span", "count");
    state.run = make("button", "primary", "Run");
    state.run.title = "Ctrl+Enter";
    state.foot.append(state.preview, state.count, state.run);
    root.append(state.box, state.foot);
  }
  const draft = () => ({ text: state.box.value, n: state.seen });
  const send = () => {
    clearTimeout(state.timer);
    setStateValue("draft", draft());
    setTriggerValue("picked", { value: state.box.value });
  };
  state.box.oninput = () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(() => setStateValue("draft", draft()), 180);
  };
  state.box.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send();
    }
  };
  state.run.onclick = send;
  if (state.seen !== data.start.n) {
    state.seen = data.start.n;
    state.box.value = data.start.text;
  }
  state.preview.textContent = "";
  data.tokens.forEach((text, at) => {
    const node = make("span", data.special[at] ? "piece special" : "piece");
    state.preview.append(tokenInto(node, text));
  });
  if (data.hidden) state.preview.append(make("span", "muted", ` +${data.hidden} more`));
  state.count.textContent = data.message;
  state.count.classList.toggle("over", data.over);
  return () => clearTimeout(state.timer);
}
