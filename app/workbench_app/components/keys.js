// Single keys anywhere on the page: some tell Python, some put the cursor into a field. Not while one is typing.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  root.keys = data;
  if (root.heard) document.removeEventListener("keydown", root.heard, true);
  root.heard = (event) => {
    const path = event.composedPath();
    const typing = path.some((node) => node.isContentEditable || /^(INPUT|TEXTAREA|SELECT|CANVAS)$/.test(node.tagName ?? ""));
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = root.keys.fields[event.key];
    if (field) document.querySelector(`${field} input, ${field} textarea`)?.focus();
    else if (root.keys.keys.includes(event.key)) setTriggerValue("picked", { value: event.key });
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  document.addEventListener("keydown", root.heard, true);
  return () => document.removeEventListener("keydown", root.heard, true);
}
