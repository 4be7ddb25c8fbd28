// Put in front of what draws on a canvas: colours from the theme, sharp lines, drawn again when those change.
const parseColour = (text) => {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = text || "#000";
  const hex = probe.fillStyle;
  if (hex[0] !== "#") return hex.match(/[\d.]+/g).slice(0, 3).map(Number);
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
};

// The theme as numbers, for canvases.
const theme = (root) => {
  const style = getComputedStyle(root);
  const read = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const text = read("--st-text-color", "#1c2128");
  const background = read("--st-background-color", "#ffffff");
  return {
    text,
    background,
    font: read("--st-font", "sans-serif"),
    border: read("--st-border-color", "#d8dde3"),
    primary: read("--st-primary-color", "#2563eb"),
    base: parseColour(background),
    ink: parseColour(text),
    blue: parseColour(read("--st-blue-color", "#2f6fde")),
    orange: parseColour(read("--st-orange-color", "#d9730d")),
    dark: parseColour(background).reduce((a, b) => a + b, 0) < 300,
  };
};

const mix = (from, to, share) => from.map((value, i) => Math.round(value + (to[i] - value) * share));
const rgb = (colour, alpha = 1) => `rgba(${colour.join(",")},${alpha})`;

// Sequential: background to blue. Diverging: orange below zero, blue above.
const shade = (look, level) => mix(look.base, level < 0 ? look.orange : look.blue, Math.min(1, Math.abs(level)));

const inkOn = (colour) => (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140 ? "#14181d" : "#f6f8fa");

const sharpCanvas = (canvas, width, height) => {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
};

// Redraw when the size or the colour scheme changes; returns what to call at the end.
const onChange = (root, draw) => {
  const sizes = new ResizeObserver(() => requestAnimationFrame(draw));
  sizes.observe(root);
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const later = () => setTimeout(draw, 150);
  scheme.addEventListener("change", later);
  return () => {
    sizes.disconnect();
    scheme.removeEventListener("change", later);
  };
};
