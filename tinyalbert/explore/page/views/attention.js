// View 3: what each head looks at.

import { element } from "explore/dom.js";
import { bytesOf, drawMap } from "explore/draw.js";
import { saved } from "explore/ask.js";

export const title = "Attention";
export const question = "Who looks at whom?";
export const look =
  "Each small map is a head: row = the piece that looks, column = what it looks at, darker (or brighter) = more. Choose one, then point at a piece: what it looks at lights up.";

// What was chosen stays chosen while the text changes.
const chosen = { layer: 0, head: 0, mode: "heads", start: false, token: 0 };

export async function render(box, { question: asked, ask, about, again }) {
  const answer = await ask("attention", { ...asked, start: chosen.start || undefined });
  const view = {
    ...answer,
    size: answer.tokens.length,
    bytes: bytesOf(answer.maps),
    rolled: bytesOf(answer.rollout),
  };
  chosen.layer = Math.min(chosen.layer, view.layers - 1);
  chosen.head = Math.min(chosen.head, view.heads);
  chosen.token = Math.min(chosen.token, view.size - 1);
  const parts = { grid: element("div"), large: element("canvas", { role: "img", style: { width: "100%", maxWidth: "26rem" } }), strip: element("div", { class: "strip" }), title: element("h3"), said: element("p", { class: "note" }) };
  box.append(controls(view, about, again, () => draw(view, parts)));
  if (view.left_out) box.append(element("p", { class: "note" }, `The maps show the first ${view.size} pieces; ${view.left_out} more would be too small to see.`));
  box.append(
    element(
      "div",
      { class: "side" },
      element("div", { class: "scroll" }, parts.grid),
      element("div", {}, parts.title, parts.large, parts.said),
    ),
    element("h3", {}, "Point at a piece, or move with Tab"),
    parts.strip,
  );
  makeGrid(view, parts);
  makeStrip(view, parts);
  parts.large.addEventListener("pointermove", (event) => {
    const row = Math.floor((event.offsetY / parts.large.clientHeight) * view.size);
    light(view, parts, Math.max(0, Math.min(view.size - 1, row)));
  });
  draw(view, parts);
}

function controls(view, about, again, redraw) {
  const mode = element(
    "select",
    { id: "attention-mode", onchange: (event) => { chosen.mode = event.target.value; redraw(); } },
    [["heads", "a single head, or the mean of all"], ["rollout", "through all passes up to this one (rollout)"]].map(([value, words]) =>
      element("option", { value, selected: chosen.mode === value }, words),
    ),
  );
  const parts = [element("label", { for: "attention-mode" }, "Show "), mode];
  if (about.start && !saved) {
    const box = element("input", { type: "checkbox", id: "attention-start", checked: chosen.start, onchange: (event) => { chosen.start = event.target.checked; again(); } });
    parts.push(element("label", {}, box, " as the run began, before training"));
  }
  return element("div", { class: "controls" }, parts);
}

function makeGrid(view, parts) {
  const cells = [element("span", {}, "pass")];
  for (let head = 0; head < view.heads; head++) cells.push(element("span", {}, `head ${head + 1}`));
  cells.push(element("span", {}, "mean"));
  for (let layer = 0; layer < view.layers; layer++) {
    cells.push(element("span", {}, String(layer + 1)));
    for (let head = 0; head <= view.heads; head++) {
      const canvas = element("canvas", { style: { width: "56px", height: "56px" }, "aria-hidden": "true" });
      drawMap(canvas, view.bytes, start(view, layer, head), view.size);
      cells.push(
        element(
          "button",
          {
            type: "button",
            "data-layer": layer,
            "data-head": head,
            "aria-label": `pass ${layer + 1}, ${head < view.heads ? `head ${head + 1}` : "mean of the heads"}`,
            onclick: () => { Object.assign(chosen, { layer, head, mode: "heads" }); document.getElementById("attention-mode").value = "heads"; draw(view, parts); },
          },
          canvas,
        ),
      );
    }
  }
  const columns = `auto repeat(${view.heads + 1}, auto)`;
  parts.grid.append(element("div", { class: "maps", style: { gridTemplateColumns: columns } }, cells));
}

function start(view, layer, head) {
  return (layer * (view.heads + 1) + head) * view.size * view.size;
}

function makeStrip(view, parts) {
  parts.strip.append(
    ...view.tokens.map((token, i) =>
      element(
        "button",
        { type: "button", class: "piece", "data-token": i, onpointerenter: () => light(view, parts, i), onfocus: () => light(view, parts, i) },
        token,
      ),
    ),
  );
}

function draw(view, parts) {
  const { layer, head, mode } = chosen;
  const rolled = mode === "rollout";
  parts.map = rolled ? view.rolled : view.bytes;
  parts.from = rolled ? layer * view.size * view.size : start(view, layer, head);
  parts.title.textContent = rolled
    ? `Pass 1 to ${layer + 1}, followed through (rollout)`
    : `Pass ${layer + 1}, ${head < view.heads ? `head ${head + 1}` : "mean of the heads"}`;
  for (const button of parts.grid.querySelectorAll("button")) {
    const own = Number(button.dataset.layer) === layer && (rolled || Number(button.dataset.head) === head);
    button.setAttribute("aria-pressed", own);
  }
  drawMap(parts.large, parts.map, parts.from, view.size);
  light(view, parts, chosen.token);
}

function light(view, parts, row) {
  chosen.token = row;
  const weights = parts.map.subarray(parts.from + row * view.size, parts.from + (row + 1) * view.size);
  [...parts.strip.children].forEach((button, i) => {
    button.style.background = `rgba(var(--accent-rgb), ${(0.75 * Math.sqrt(weights[i] / 255)).toFixed(3)})`;
    button.classList.toggle("lit", i === row);
  });
  const best = [...weights.keys()].sort((a, b) => weights[b] - weights[a]).slice(0, 3);
  const words = best.map((i) => `${view.tokens[i]} ${Math.round(weights[i] / 2.55)} %`).join(", ");
  parts.said.textContent = `${view.tokens[row]} looks at ${words}`;
  parts.large.setAttribute("aria-label", `${parts.title.textContent}: ${parts.said.textContent}`);
}
