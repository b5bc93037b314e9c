// View 4: the same layer again and again, and what that saves.

import { element, grouped, table } from "explore/dom.js";
import { curves } from "explore/draw.js";
import { albert, bert, total } from "explore/ledger.js";

export const title = "Sharing";
export const question = "What does the same layer do, time after time?";
export const look =
  "How far each pass moves its input, and how much it turns it (figure 1 of the ALBERT paper). There, with shared parameters, both change smoothly from pass to pass and never settle at 0. And here?";

export async function render(box, { question: asked, ask }) {
  const { passes, sizes } = await ask("sharing", asked);
  const line = (name) => passes.map((pass, n) => [n + 1, pass[name]]);
  const frame = (name, yLabel, digits) =>
    curves({
      series: [{ points: line(name), dots: true }],
      xLabel: "pass",
      yLabel,
      digits,
      width: 420,
      label: `${yLabel}: ${passes.map((pass) => pass[name].toFixed(digits)).join(", ")}`,
    });
  box.append(
    element("div", { class: "side" }, frame("distance", "distance between input and output (L2)", 2), frame("angle", "angle between input and output (degrees)", 1)),
    table({
      caption: "Means over the pieces of this text",
      head: ["pass", "distance", "angle"],
      rows: passes.map(({ distance, angle }, n) => [String(n + 1), distance.toFixed(3), `${angle.toFixed(2)}°`]),
      words: [],
    }),
    element("h3", {}, "What factorised embeddings and sharing save"),
    ledger(sizes),
  );
}

function ledger(sizes) {
  const now = { ...sizes };
  const place = element("div");
  const draw = () => place.replaceChildren(ledgerTable(now));
  const slider = (name, words, least, most, step) => {
    const shown = element("output", { for: `size-${name}` }, String(now[name]));
    const input = element("input", {
      type: "range",
      id: `size-${name}`,
      min: least,
      max: most,
      step,
      value: now[name],
      oninput: (event) => {
        now[name] = Number(event.target.value);
        if (name === "H") now.I = 4 * now.H;
        shown.textContent = grouped(now[name]);
        draw();
      },
    });
    return [element("label", { for: `size-${name}` }, words), input, shown];
  };
  draw();
  return element(
    "div",
    {},
    element(
      "div",
      { class: "sliders" },
      slider("E", "width of the embeddings, E", 16, 1024, 16),
      slider("H", "width of the layers, H", 64, 4096, 64),
      slider("L", "passes, L", 1, 48, 1),
    ),
    place,
  );
}

function ledgerTable(sizes) {
  const ours = albert(sizes);
  const theirs = bert(sizes);
  const rows = Object.keys(ours).map((part) => [part, grouped(ours[part]), grouped(theirs[part])]);
  const a = total(ours);
  const b = total(theirs);
  return table({
    caption: `Vocabulary of ${grouped(sizes.V)}; a BERT of this size has ${(b / a).toFixed(1)} times the parameters, and takes as many operations a layer`,
    head: ["part", "ALBERT", "BERT of this size"],
    rows: [...rows, [element("td", {}, element("b", {}, "together")), element("td", { id: "ledger-albert" }, element("b", {}, grouped(a))), element("td", { id: "ledger-bert" }, element("b", {}, grouped(b)))]],
    words: [],
  });
}
