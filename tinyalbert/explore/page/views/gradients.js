// View 5: what an answer rests on.

import { element, percent, signed, table, weighedPieces } from "explore/dom.js";
import { saved } from "explore/ask.js";

export const title = "Gradients";
export const question = "Which pieces does the answer rest on?";
export const look =
  "Gradient times input: a piece underlined solid makes the answer likelier, a dashed one less likely, to first order. Below: what each pass adds to the one gradient of the shared layer.";

export async function render(box, { question: asked, ask, place, answer, tokens, set, again }) {
  const told = { ...asked, place: asked.masked.includes(place) ? place : undefined, answer: answer ?? undefined };
  const found = await ask("gradients", told);
  const written = tokens[found.place];
  if (!saved) box.append(await choices(found, asked, ask, set, again));
  box.append(
    element("p", {}, `log P(${found.answer_piece}) at place ${found.place}; the probability is ${percent(found.p)}.`),
    weighedPieces(found.pieces),
  );
  const largest = Math.max(...found.passes);
  box.append(
    element("h3", {}, "The gradient of each pass"),
    table({
      caption: "Length of the gradient that each pass gives to the layer's parameters",
      head: ["pass", "length", "of the largest"],
      rows: [
        ...found.passes.map((size, n) => [String(n + 1), size.toFixed(4), percent(size / (largest || 1))]),
        ...(found.shared === null ? [] : [["sum of all passes, as vectors", found.shared.toFixed(4), ""]]),
      ],
      words: [],
    }),
    element("h3", {}, "In numbers"),
    table({
      caption: "Gradient times word vector, and the length of the gradient",
      head: ["piece", "gradient × input", "length"],
      rows: found.pieces.map(({ piece, value, size }) => [piece, signed(value), size.toFixed(3)]),
    }),
  );
}

async function choices(found, asked, ask, set, again) {
  const { masks } = await ask("masks", asked);
  const mask = masks.find((each) => each.place === found.place) ?? masks[0];
  const places = element(
    "select",
    { id: "gradient-place", onchange: (event) => { set({ place: Number(event.target.value), answer: null }); again(); } },
    masks.map((each) => element("option", { value: each.place, selected: each.place === found.place }, `place ${each.place}`)),
  );
  const answers = element(
    "select",
    { id: "gradient-answer", onchange: (event) => { set({ place: found.place, answer: Number(event.target.value) }); again(); } },
    mask.answers.map((each) =>
      element("option", { value: each.id, selected: each.id === found.answer }, `${each.piece}${each.piece === mask.written ? " (written)" : ""}`),
    ),
  );
  return element("div", { class: "controls" }, element("label", { for: "gradient-place" }, "Mask"), places, element("label", { for: "gradient-answer" }, "answer"), answers);
}
