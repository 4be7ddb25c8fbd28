// Carries what Python says to the graph on the page: small words that cost no second copy of the graph.
export default function ({ data }) {
  (window.workbenchGraphs ??= {})[data.to] = data;
  window.dispatchEvent(new CustomEvent("workbench-graph", { detail: data.to }));
}
