// Where answers come from: this page's own server, or what was saved in the file.

const place = document.getElementById("saved");

/** What was saved with this file: {about, texts, answers}; null if a server answers. */
export const saved = place ? JSON.parse(place.textContent) : null;

/** The answer of a view; an Error with a sentence if there is none. */
export async function ask(view, question = {}) {
  const found = saved ? fromFile(view, question) : await fromServer(view, question);
  if (found.error) throw new Error(found.error);
  return found;
}

function fromFile(view, question) {
  if (view === "about") return saved.about;
  const answers = saved.answers[view];
  return answers[answers.length === 1 ? 0 : question.number ?? 0];
}

async function fromServer(view, question) {
  let response;
  try {
    response = await fetch(`/ask/${view}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
    });
  } catch {
    return { error: "the server has ended; start it again: tinyalbert explore" };
  }
  return response.json();
}

/** Ask the server to end. */
export function quit() {
  return fetch("/quit", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
}
