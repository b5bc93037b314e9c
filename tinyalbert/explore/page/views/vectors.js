// View 6: the pieces as points.

import { element, percent, table } from "explore/dom.js";
import { floatsOf, scatter } from "explore/draw.js";
import { saved } from "explore/ask.js";

export const title = "Vectors";
export const question = "Which pieces are alike to the model?";
export const look =
  "Search a word and see its nearest neighbours by cosine. Below, the states of this text: move the slider and watch the pieces part, pass by pass.";

const chosen = { search: null, pass: 0 };
let plane = null; // of the vocabulary: asked for once

/** The model is another one now. */
export function forget() {
  plane = null;
}

export async function render(box, { question: asked, ask, again, stale }) {
  plane ??= await ask("words", {});
  chosen.search ??= longestWord(asked.text);
  const { found, states } = await ask("vectors", { ...asked, search: chosen.search || undefined });
  if (!saved) box.append(searchField(again));
  box.append(element("div", { class: "side" }, planeOf(found), neighbours(found)), element("h3", {}, "This text, pass by pass"), passesOf(states));
}

function longestWord(text) {
  const words = text.replaceAll("[MASK]", " ").match(/\p{L}+/gu) ?? [];
  return words.reduce((best, word) => (word.length > best.length ? word : best), "");
}

function searchField(again) {
  const input = element("input", { id: "search", type: "search", value: chosen.search, placeholder: "a word" });
  return element(
    "form",
    { class: "controls", onsubmit: (event) => { event.preventDefault(); chosen.search = input.value.trim(); again(); } },
    element("label", { for: "search" }, "Neighbours of"),
    input,
    element("button", { type: "submit" }, "Search"),
  );
}

function planeOf(found) {
  const points = floatsOf(plane.plane);
  const number = new Map(plane.ids.map((id, i) => [id, i]));
  const wanted = found ? [[found.id, found.piece, true], ...found.neighbours.map(({ id, piece }) => [id, piece])] : [];
  const named = wanted.filter(([id]) => number.has(id)).map(([id, piece, strong]) => [number.get(id), piece, strong]);
  const canvas = element("canvas", { class: "plain", role: "img", "aria-label": `${plane.ids.length} pieces on a plane` });
  const said = element("p", { class: "note" }, `${plane.ids.length.toLocaleString("en-US")} commonest pieces on their two principal axes, which hold ${percent(plane.share)} of the variance`);
  canvas.draw = () => { canvas.nearest = scatter(canvas, points, named); };
  canvas.addEventListener("pointermove", (event) => {
    const i = canvas.nearest?.(event.offsetX, event.offsetY);
    if (i !== null && i !== undefined) said.textContent = plane.pieces[i];
  });
  return element("div", {}, canvas, said);
}

function neighbours(found) {
  if (!found) return element("p", { class: "note" }, "Nothing searched yet.");
  return table({
    caption: `Nearest to ${found.piece}`,
    head: ["piece", "cosine"],
    rows: found.neighbours.map(({ piece, cosine }) => [piece, cosine.toFixed(3)]),
  });
}

function passesOf({ tokens, passes }) {
  chosen.pass = Math.min(chosen.pass, passes.length - 1);
  const canvas = element("canvas", { class: "plain", role: "img" });
  const label = element("output", { for: "pass" });
  canvas.draw = () => {
    const flat = Float32Array.from(passes[chosen.pass].flat());
    scatter(canvas, flat, tokens.slice(0, 80).map((token, i) => [i, token]), { alpha: 0.8, radius: 2 });
    label.textContent = chosen.pass ? `after pass ${chosen.pass}` : "before the first pass";
    canvas.setAttribute("aria-label", `states of ${tokens.length} pieces ${label.textContent}`);
  };
  const slider = element("input", { type: "range", id: "pass", min: 0, max: passes.length - 1, value: chosen.pass, oninput: (event) => { chosen.pass = Number(event.target.value); canvas.draw(); } });
  return element("div", {}, element("div", { class: "controls" }, element("label", { for: "pass" }, "Pass"), slider, label), canvas);
}

/** Draw the canvases, which only now have a width. */
export function drawn(box) {
  for (const canvas of box.querySelectorAll("canvas")) canvas.draw?.();
}
