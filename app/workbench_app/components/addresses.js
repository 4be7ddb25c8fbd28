// One step of the browser's Back for one step of the visitor. A page writes its address after it was entered, key by
// key, and Streamlit pushes an entry for each; Back would stop at the bare address, which leads forward again.
const TOGETHER = 400; // ms; two steps of a person are further apart
export default function () {
  if (history.workbench) return;
  history.workbench = true;
  const push = history.pushState;
  let latest = -TOGETHER;
  history.pushState = function (state, unused, url) {
    const here = window.location;
    const bare = !here.search && new URL(url ?? here.href, here.href).pathname === here.pathname;
    const joined = performance.now() - latest < TOGETHER;
    latest = performance.now();
    return (bare || joined ? history.replaceState : push).call(history, state, unused, url);
  };
}
