// View 9: the task that the folder was fine-tuned for.

import { bar, element, percent, table } from "explore/dom.js";

export const title = "Task";
export const question = "What does the fine-tuned model answer?";
export const look = "The answer is the pipeline's own, with all its numbers. Change a word and see what moves.";

const KINDS = {
  "text-classification": labels,
  "multiple-choice": labels,
  "token-classification": entities,
  "question-answering": spans,
  "sentence-embedding": similarity,
  "summarization": summary,
  "translation": translation,
};

export async function render(box, { question: asked, ask }) {
  const answer = await ask("answers", asked);
  KINDS[answer.kind](box, answer);
}

function labels(box, { labels: found, number, exclusive, question: about }) {
  if (about) box.append(element("h3", {}, about));
  if (number) {
    box.append(element("p", {}, "The number: ", element("b", {}, found[0].score.toFixed(3))));
    return;
  }
  box.append(...found.map(({ label, score }) => bar(label, score)));
  if (!exclusive) box.append(element("p", { class: "note" }, "Each label is judged by itself; several may hold."));
}

/** The text with some spans marked: [{start, end, note}], places in Python's characters. */
function marked(text, found) {
  const letters = [...text]; // code points, as Python counts
  const parts = [];
  let done = 0;
  for (const { start, end, note, strength } of [...found].sort((a, b) => a.start - b.start)) {
    if (start < done) continue;
    parts.push(letters.slice(done, start).join(""));
    const shade = strength === undefined ? null : { background: `rgba(var(--accent-rgb), ${strength})` };
    parts.push(element("mark", { style: shade }, letters.slice(start, end).join(""), note ? element("small", {}, note) : null));
    done = end;
  }
  parts.push(letters.slice(done).join(""));
  return element("div", { class: "passage", tabindex: 0 }, parts);
}

function entities(box, { text, entities: found }) {
  box.append(marked(text, found.map(({ start, end, entity_group: note }) => ({ start, end, note }))));
  if (!found.length) {
    box.append(element("p", { class: "note" }, "No entity was found in this text."));
    return;
  }
  const letters = [...text];
  box.append(
    table({
      caption: "The entities",
      head: ["text", "type", "score", "from", "to"],
      rows: found.map(({ start, end, entity_group: type, score }) => [letters.slice(start, end).join(""), type, percent(score), String(start), String(end)]),
    }),
  );
}

function spans(box, { text, answers, tokens }) {
  const [best] = answers.filter(({ answer }) => answer);
  box.append(marked(text, best ? [{ start: best.start, end: best.end }] : []));
  box.append(...answers.map(({ answer, score }) => bar(answer || "(no answer in this text)", score)));
  if (!tokens.length) return;
  const shown = (name, words) => {
    const largest = Math.max(...tokens.map((token) => token[name]));
    const strong = tokens.filter((token) => token[name] > 0.02 * largest && token.end > token.start);
    return [
      element("h3", {}, words),
      marked(text, strong.map((token) => ({ start: token.start, end: token.end, strength: (0.7 * Math.sqrt(token[name] / largest)).toFixed(3) }))),
    ];
  };
  box.append(...shown("first", "Where the answer may begin"), ...shown("last", "Where it may end"));
}

function similarity(box, { cosine }) {
  box.append(bar("cosine of both vectors", (cosine + 1) / 2, cosine.toFixed(3)));
  box.append(element("p", { class: "note" }, "1: the same direction; 0: nothing in common; −1: opposite."));
}

function summary(box, { text, summary: said, sentences }) {
  box.append(marked(text, sentences.map(({ start, end, score }) => ({ start, end, note: percent(score) }))));
  box.append(element("h3", {}, "The summary"), element("p", {}, said));
}

function translation(box, { translation: said }) {
  box.append(element("p", { class: "passage" }, said));
}
