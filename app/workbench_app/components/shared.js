// Put in front of every component: text as text only, one tooltip.
const make = (tag, className = "", text = null) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== null) node.textContent = text;
  return node;
};

const visible = (text) => text.replace(/\r/g, "␍").replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/ /g, "·");

// A token with its white space shown faintly.
const tokenInto = (node, text) => {
  node.textContent = "";
  for (const part of text.split(/(\s+)/)) {
    if (part) node.append(make("span", /^\s+$/.test(part) ? "space" : "", visible(part)));
  }
  return node;
};

// As many significant digits as the settings say.
const chosenDigits = () => Number(getComputedStyle(document.documentElement).getPropertyValue("--wb-digits")) || 3;

const number = (value, digits = chosenDigits()) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(digits - 2);
  return String(Number(value.toPrecision(digits)));
};

const percent = (share) => (share >= 0.0005 || share === 0 ? `${(100 * share).toFixed(1)} %` : "< 0.1 %");

const tooltip = (root) => {
  let box = root.querySelector(":scope > .tip");
  if (!box) {
    box = make("div", "tip");
    box.setAttribute("role", "tooltip");
    root.append(box);
  }
  return {
    show(event, fill) {
      box.textContent = "";
      fill(box);
      box.style.display = "block";
      const width = box.offsetWidth, height = box.offsetHeight;
      const left = Math.min(event.clientX + 14, window.innerWidth - width - 8);
      const below = event.clientY + 16 + height < window.innerHeight;
      box.style.left = `${Math.max(8, left)}px`;
      box.style.top = `${below ? event.clientY + 16 : Math.max(8, event.clientY - height - 12)}px`;
    },
    hide() {
      box.style.display = "none";
    },
  };
};

const tipFacts = (box, title, facts, token = true) => {
  box.append(token ? tokenInto(make("div", "tip-title token"), title) : make("div", "tip-title", title));
  const list = make("dl");
  for (const [name, value] of facts) list.append(make("dt", "", name), make("dd", "", String(value)));
  box.append(list);
};

const tipBars = (box, heading, rows) => {
  box.append(make("div", "tip-head", heading));
  for (const [text, share] of rows) {
    const row = make("div", "tip-row");
    const bar = make("i");
    bar.style.width = `${Math.max(1, 60 * share)}px`;
    row.append(tokenInto(make("b"), text), bar, make("em", "", percent(share)));
    box.append(row);
  }
};

// What Python wants selected counts once per change of its number; else the browser's own selection stays.
const adoptStart = (state, start) => {
  if (!start || state.seen === start.n) return false;
  state.seen = start.n;
  state.selected = start.selected;
  return true;
};
