// View 8: the run that made the model.

import { element, grouped } from "explore/dom.js";
import { curves } from "explore/draw.js";
import { saved } from "explore/ask.js";

export const title = "Run";
export const question = "How did it learn?";
export const look =
  "The line is the loss in training, the dots are held-out text. The dashed lines are guesses without any context: below the lower one, the model uses what stands around a word.";

const EVERY = 3000; // milliseconds between looks at a run that is going on
let waiting;

export async function render(box, { ask, again, stale }) {
  clearTimeout(waiting);
  const run = await ask("history", {});
  const held = Object.entries(run.eval);
  const loss = held.find(([name]) => name === run.loss);
  box.append(element("p", {}, progress(run)));
  box.append(
    element("h3", {}, run.loss === "mlm_loss" ? "Loss of masked words" : "Loss"),
    curves({
      series: [{ points: run.train, faint: true }, { points: loss ? loss[1] : [], dots: true }],
      levels: run.levels,
      xLabel: "step",
      yLabel: "nats",
      label: `the loss ends at ${ends(run.train)} in training${loss ? `, ${ends(loss[1])} held out` : ""}`,
    }),
  );
  const others = held.filter(([name, points]) => name !== run.loss && !name.endsWith("_loss") && points.length);
  box.append(
    element(
      "div",
      { class: "side" },
      others.map(([name, points]) =>
        element("div", {}, element("h3", {}, words(name)), curves({
          series: [{ points, dots: true }],
          levels: name === "sop_accuracy" ? { guessing: 0.5 } : {},
          xLabel: "step",
          yLabel: "held out",
          width: 380,
          label: `${words(name)} ends at ${ends(points)}`,
        })),
      ),
    ),
  );
  if (!saved && run.total_steps && run.step < run.total_steps) {
    waiting = setTimeout(() => { if (!stale()) again(); }, EVERY);
  }
}

function progress({ step, total_steps: all, seconds }) {
  const took = seconds < 90 ? `${Math.round(seconds)} seconds` : `${Math.round(seconds / 60)} minutes`;
  return `${grouped(step)} ${all ? `of ${grouped(all)} ` : ""}steps in ${took}${all && step < all ? "; if the run is going on, this page follows it" : ""}.`;
}

function words(name) {
  return name.replace("mlm_accuracy", "masked words right").replace("sop_accuracy", "sentence order right").replaceAll("_", " ");
}

function ends(points) {
  return points.length ? points[points.length - 1][1].toFixed(2) : "nothing yet";
}
