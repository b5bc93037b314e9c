// View 1: the pieces of the text.

import { element, table } from "explore/dom.js";

export const title = "Pieces";
export const question = "How was the text cut, and how else could it have been?";
export const look =
  "SentencePiece takes the pieces whose log-probabilities have the largest sum. Look for a word whose second-best cut comes close.";

export async function render(box, { question: asked, ask }) {
  const { tokens, words, steps } = await ask("pieces", asked);
  if (steps.length) {
    box.append(
      table({
        caption: "What was done to the text first",
        head: ["step", "the text after it"],
        rows: steps.map(({ step, text }) => [step, element("td", { style: { whiteSpace: "pre-wrap", textAlign: "left" } }, text)]),
        words: [],
      }),
    );
  }
  const rows = [];
  let last = null;
  tokens.forEach((token, place) => {
    const ways = token.word !== last ? words[token.word] ?? [] : null;
    last = token.word;
    const others = ways === null ? "" : ways.slice(1).map(({ pieces, score }) => `${pieces.join(" ")}  (${score.toFixed(1)})`).join("   ");
    const best = ways?.length ? ways[0].score.toFixed(1) : "";
    rows.push([token.masked && !token.special ? `${token.piece} → [MASK]` : token.piece, String(place), String(token.id), String(token.type), best, element("td", { class: "word", style: { textAlign: "left" } }, others)]);
  });
  box.append(
    element("h3", {}, `${tokens.length} pieces`),
    table({
      caption: "▁ stands for the space before a word; the score is of the whole word",
      head: ["piece", "place", "id", "segment", "score", "next-best cuts of the word (score)"],
      rows,
    }),
  );
}
