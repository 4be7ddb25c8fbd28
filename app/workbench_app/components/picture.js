// Put in front of what is drawn on a canvas with SVG over it: both as one PNG, as they stand on the screen.
const PAINT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity", "display",
  "visibility", "font", "text-anchor", "dominant-baseline", "paint-order", "filter"];

const frozenSvg = (svg, width, height) => {
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    to[i].setAttribute("style", PAINT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
};

const takePicture = async (canvas, svg, background, name, scale = 2) => {
  const { clientWidth: width, clientHeight: height } = canvas, image = new Image();
  image.src = frozenSvg(svg, width, height);
  await image.decode();
  const sheet = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
  const pen = sheet.getContext("2d");
  pen.fillStyle = background;
  pen.fillRect(0, 0, sheet.width, sheet.height);
  for (const layer of [canvas, image]) pen.drawImage(layer, 0, 0, sheet.width, sheet.height);
  const blob = await new Promise((done) => sheet.toBlob(done, "image/png"));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
