// View 2: what stands at [MASK], after each pass.

import { bar, element, percent, table } from "explore/dom.js";

export const title = "[MASK]";
export const question = "What would the model put there, and when does it make up its mind?";
export const look =
  "Each column asks the head for masked words after one more pass through the shared layer. Follow a row from left to right.";

export async function render(box, { question: asked, ask, set }) {
  const { masks, left_out: leftOut } = await ask("masks", asked);
  if (!masks.length) {
    box.append(element("p", { class: "problem" }, "Nothing is masked yet: click a piece above, or type [MASK]."));
    return;
  }
  for (const mask of masks) box.append(...oneMask(mask));
  if (leftOut) box.append(element("p", { class: "note" }, `${leftOut} further masks are not shown.`));
}

function oneMask({ place, written, layers, answers }) {
  const best = layers[layers.length - 1];
  return [
    element("h3", {}, `Place ${place}${written ? `, where “${written}” is written` : ""}`),
    element("div", {}, best.map(({ piece, p }) => bar(piece, p))),
    table({
      caption: "The probability of each answer after each pass (0: before the first)",
      head: ["answer", ...layers.map((_, n) => String(n))],
      rows: [
        ...answers.map(({ piece, p }) => [piece === written ? `${piece} (written)` : piece, ...p.map(shaded)]),
        ["the best then", ...layers.map(([first]) => element("td", { class: "word" }, first.piece))],
      ],
    }),
  ];
}

function shaded(p) {
  const background = `rgba(var(--accent-rgb), ${(0.55 * Math.sqrt(p)).toFixed(3)})`;
  return element("td", { style: { background } }, percent(p));
}
