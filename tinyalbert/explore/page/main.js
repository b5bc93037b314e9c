// The page: the text in question, the pieces that can be clicked, and one view at a time.

import { ask, quit, saved } from "explore/ask.js";
import { element, grouped } from "explore/dom.js";
import * as answers from "explore/views/answers.js";
import * as attention from "explore/views/attention.js";
import * as gradients from "explore/views/gradients.js";
import * as history from "explore/views/history.js";
import * as masks from "explore/views/masks.js";
import * as order from "explore/views/order.js";
import * as pieces from "explore/views/pieces.js";
import * as sharing from "explore/views/sharing.js";
import * as vectors from "explore/views/vectors.js";

const VIEWS = { answers, masks, attention, gradients, sharing, vectors, order, pieces, history };
const FIRST = "The [MASK] was very old. He went to the city, and there he found a new friend.";
const PAUSE = 250; // milliseconds without a key before a typed text is looked at

const at = (id) => document.getElementById(id);

// What is looked at. `number`: of the text, in a saved file. `place`, `answer`: the mask in question.
const state = { about: null, text: "", pair: "", masked: [], number: 0, view: null, tokens: [] };
let latest = 0; // the number of the last question; older answers are dropped

function question() {
  const { text, pair, masked, number } = state;
  return { text, pair: pair || null, masked, number };
}

async function start() {
  try {
    state.about = await ask("about");
  } catch (problem) {
    at("view").append(element("p", { class: "problem" }, problem.message));
    return;
  }
  describe();
  const { fields, task, words, order: hasOrder, run } = state.about;
  at("text-label").textContent = fields.text;
  at("pair-label").textContent = fields.pair ?? "";
  at("second").hidden = !fields.pair;
  const there = {
    answers: task, masks: words, gradients: words, order: hasOrder, history: run,
    attention: true, sharing: true, vectors: true, pieces: true,
  };
  const shown = Object.keys(VIEWS).filter((name) => there[name]);
  makeTabs(shown);
  if (saved) showSaved();
  else {
    at("text").value = state.text = task ? "The film was very good." : FIRST;
    at("text").addEventListener("input", typed);
    at("pair").addEventListener("input", typed);
    at("quit").hidden = false;
    at("quit").addEventListener("click", end);
  }
  const asked = location.hash.slice(1);
  await show(shown.includes(asked) ? asked : shown[0]);
}

function describe() {
  const { folder, parameters, layers, heads, hidden, vocabulary, shared, task } = state.about;
  const passes = shared ? `one layer, used ${layers} times` : `${layers} layers`;
  at("about").textContent =
    `${folder}: ${grouped(parameters)} parameters, ${passes}, ${heads} heads, width ${hidden}, ` +
    `${grouped(vocabulary)} pieces${task ? `, fine-tuned for ${task}` : ""}`;
}

function makeTabs(names) {
  const tabs = names.map((name) =>
    element(
      "button",
      { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "view", onclick: () => show(name) },
      VIEWS[name].title,
    ),
  );
  at("tabs").append(...tabs);
  at("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}

function showSaved() {
  at("text").readOnly = at("pair").readOnly = true;
  at("texts").hidden = saved.texts.length < 2;
  at("choose").append(...saved.texts.map(({ text }, i) => element("option", { value: i }, text.slice(0, 80))));
  at("choose").addEventListener("change", () => choose(Number(at("choose").value)));
  at("strip-hint").textContent = "A saved page: these texts were computed beforehand.";
  take(0);
}

function take(number) {
  const { text, pair, masked } = saved.texts[number];
  Object.assign(state, { number, text, pair: pair ?? "", masked });
  at("text").value = text;
  at("pair").value = state.pair;
  at("second").hidden = !pair;
}

function choose(number) {
  take(number);
  refresh();
}

let waiting;
function typed() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    Object.assign(state, { text: at("text").value, pair: at("pair").value, masked: [], place: null, answer: null });
    refresh();
  }, PAUSE);
}

async function end() {
  await quit();
  at("quit").disabled = true;
  at("about").textContent = "The server has ended; this page no longer answers.";
}

async function show(name) {
  state.view = name;
  for (const tab of at("tabs").children) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  at("view").setAttribute("aria-labelledby", `tab-${name}`);
  window.history.replaceState(null, "", `#${name}`);
  await refresh();
}

/** Ask about the text again and draw the strip and the view. */
async function refresh() {
  const number = ++latest;
  const stale = () => number !== latest;
  at("view").setAttribute("aria-busy", "true");
  await drawStrip(stale);
  if (stale()) return;
  const view = VIEWS[state.view];
  const box = element("div");
  box.append(element("h2", {}, view.question), element("p", { class: "hint" }, view.look));
  try {
    await view.render(box, { ...state, question: question(), ask, again: refresh, stale, set: (more) => Object.assign(state, more) });
  } catch (problem) {
    box.append(element("p", { class: "problem", role: "alert" }, problem.message));
  }
  if (stale()) return;
  at("view").replaceChildren(box);
  at("view").removeAttribute("aria-busy");
  view.drawn?.(box); // what needs its place on the page first, such as a canvas
}

async function drawStrip(stale) {
  const { text } = state;
  let answer;
  try {
    answer = await ask("pieces", question());
  } catch {
    if (stale()) return;
    at("strip").replaceChildren(); // the view says what is wrong
    at("strip").dataset.text = text;
    state.tokens = [];
    return;
  }
  if (answer.renewed) await renew();
  if (stale()) return;
  state.tokens = answer.tokens;
  const focused = document.activeElement?.dataset?.place;
  const buttons = answer.tokens.map((token, place) =>
    element(
      "button",
      {
        type: "button",
        class: `piece${token.masked ? " masked" : ""}${token.special ? " special" : ""}${token.type ? " second" : ""}`,
        "data-place": place,
        "aria-pressed": String(token.masked),
        "aria-label": token.masked ? `${token.piece}, masked` : token.piece,
        disabled: Boolean(saved) || token.special,
        onclick: () => toggle(place),
      },
      token.masked ? "[MASK]" : token.piece,
    ),
  );
  at("strip").replaceChildren(...buttons);
  at("strip").dataset.text = text; // whose pieces these are
  if (answer.cut) {
    at("strip").append(element("span", { class: "hint" }, `… the model reads ${answer.longest} pieces; the rest is left out`));
  }
  if (focused !== undefined) buttons[focused]?.focus();
}

/** The folder was written again since the last question. */
async function renew() {
  state.about = await ask("about");
  describe();
  vectors.forget();
}

function toggle(place) {
  const { masked } = state;
  state.masked = masked.includes(place) ? masked.filter((each) => each !== place) : [...masked, place].sort((a, b) => a - b);
  state.place = state.masked.includes(place) ? place : null;
  state.answer = null;
  refresh();
}

start();
