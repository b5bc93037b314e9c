// Drawing: maps of numbers on canvas, curves and points.

import { drawn } from "explore/dom.js";

/** Bytes of a base64 text. */
export function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** float32 numbers, little-endian, of a base64 text. */
export function floatsOf(text) {
  return new Float32Array(bytesOf(text).buffer);
}

/** A colour of the style sheet, as it is in the light or the dark. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Draw `size` x `size` bytes of `maps`, beginning at `start`, on a canvas of as many dots. */
export function drawMap(canvas, maps, start, size) {
  canvas.width = size;
  canvas.height = size;
  const low = colour("--map-low").split(",").map(Number);
  const high = colour("--map-high").split(",").map(Number);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    const share = Math.sqrt(maps[start + i] / 255); // weak weights are to be seen as well
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = low[c] + share * (high[c] - low[c]);
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

/**
 * Curves in one frame, as SVG.
 * series: [{points: [[x, y], ...], faint, dots}]; levels: {words: y}; label: for who can't see;
 * width: in units of which letters are 13 high.
 */
export function curves({ series, levels = {}, xLabel, yLabel, label, digits = 2, width = 640 }) {
  width = Math.max(320, Math.min(width, window.innerWidth - 40));
  const height = 280;
  // the margins around the frame
  const left = 58;
  const right = 16;
  const top = 22;
  const bottom = 42;
  const points = series.flatMap((each) => each.points);
  if (!points.length) return drawn("svg", { viewBox: "0 0 640 20", role: "img", "aria-label": "nothing to draw yet" });
  const ys = [...points.map((p) => p[1]), ...Object.values(levels)];
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const room = 0.06 * (high - low);
  [low, high] = [low - room, high + room];
  const first = Math.min(...points.map((p) => p[0]));
  const last = Math.max(...points.map((p) => p[0]), first + 1e-9);
  const x = (value) => left + ((value - first) / (last - first)) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - bottom - top);
  const text = (at, words, more = {}) => drawn("text", { x: at[0], y: at[1], ...more }, words);

  const parts = [
    drawn("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }),
    ...[low + room, (low + high) / 2, high - room].map((value) =>
      text([left - 6, y(value) + 4], value.toFixed(digits), { "text-anchor": "end" }),
    ),
    ...[first, last].map((value, i) =>
      text([x(value), height - bottom + 18], String(Math.round(value)), { "text-anchor": i ? "end" : "start" }),
    ),
    text([(left + width) / 2, height - 8], xLabel, { "text-anchor": "middle" }),
    text([4, 12], yLabel),
  ];
  for (const [words, value] of Object.entries(levels)) {
    parts.push(drawn("path", { class: "level", d: `M${left} ${y(value)}H${width - right}` }));
    parts.push(text([width - right, y(value) - 4], `${words}: ${value.toFixed(2)}`, { "text-anchor": "end" }));
  }
  for (const { points: own, faint, dots } of series) {
    if (!own.length) continue;
    const line = own.map(([px, py]) => `${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("L");
    parts.push(drawn("path", { class: faint ? "curve faint" : "curve", d: `M${line}` }));
    if (dots) own.forEach(([px, py]) => parts.push(drawn("circle", { class: "dot", cx: x(px), cy: y(py), r: 3.5 })));
  }
  return drawn("svg", { viewBox: `0 0 ${width} ${height}`, style: { maxWidth: `${1.1 * width}px` }, role: "img", "aria-label": label }, parts);
}

/**
 * Points with a few names, on a canvas: [[x, y], ...] (a flat array works too), named: [[index, name]].
 * Returns a function (x, y of the canvas) -> the nearest point.
 */
export function scatter(canvas, flat, named, { alpha = 0.35, radius = 1.6 } = {}) {
  const width = canvas.clientWidth || 600;
  const height = Math.round(Math.min(460, Math.max(280, 0.62 * width)));
  const dense = window.devicePixelRatio || 1;
  canvas.width = width * dense;
  canvas.height = height * dense;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  const count = flat.length / 2;
  const range = (axis) => {
    let [low, high] = [Infinity, -Infinity];
    for (let i = axis; i < flat.length; i += 2) [low, high] = [Math.min(low, flat[i]), Math.max(high, flat[i])];
    return high - low < 1e-9 ? [low - 1, high + 1] : [low, high];
  };
  const [[x0, x1], [y0, y1]] = [range(0), range(1)];
  const at = (i) => [
    30 + ((flat[2 * i] - x0) / (x1 - x0)) * (width - 60),
    height - 20 - ((flat[2 * i + 1] - y0) / (y1 - y0)) * (height - 40),
  ];
  context.fillStyle = colour("--quiet");
  context.globalAlpha = alpha;
  for (let i = 0; i < count; i++) {
    const [x, y] = at(i);
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  context.font = "13px system-ui, sans-serif";
  for (const [i, name, strong] of named) {
    const [x, y] = at(i);
    context.fillStyle = strong ? colour("--against") : colour("--ink");
    context.beginPath();
    context.arc(x, y, strong ? 5 : 3, 0, 7);
    context.fill();
    const wide = context.measureText(name).width;
    context.fillText(name, Math.min(x + 6, width - wide - 2), y - 4);
  }
  return (px, py) => {
    let [best, nearest] = [15 ** 2, null];
    for (let i = 0; i < count; i++) {
      const [x, y] = at(i);
      const away = (x - px) ** 2 + (y - py) ** 2;
      if (away < best) [best, nearest] = [away, i];
    }
    return nearest;
  };
}
