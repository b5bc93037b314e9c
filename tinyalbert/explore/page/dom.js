// Elements of the page. Text goes in as text, never as HTML: what a person types is shown, not run.

/** An element: tag, {attribute: value, onclick: function, ...}, children (elements or text). */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** The same for SVG. */
export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(made, attributes);
  made.append(...children.flat());
  return made;
}

function setAttributes(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") Object.assign(made.style, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
}

/** A probability in words: 12.3 %, and below a thousandth "0.05 %". */
export function percent(p) {
  const value = 100 * p;
  return `${value.toFixed(value !== 0 && value < 1 ? 2 : 1)} %`;
}

/** 1346370 -> "1,346,370". */
export function grouped(n) {
  return Math.round(n).toLocaleString("en-US");
}

/** A table: {caption, head: [text], rows: [[text or element]], words: columns of pieces}. */
export function table({ caption, head, rows, words = [0] }) {
  const kind = (column) => (words.includes(column) ? "word" : null);
  const cell = (value, column) =>
    value instanceof Element && value.tagName === "TD"
      ? value
      : element("td", { class: kind(column) }, value);
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell)))),
    ),
  );
}

/** A bar of a probability: its name, its number, its length. */
export function bar(name, p, number = percent(p)) {
  return element(
    "div",
    { class: "bar" },
    element("span", { class: "name" }, name),
    element("span", { class: "number" }, number),
    element(
      "span",
      { class: "track", "aria-hidden": "true" },
      element("span", { class: "fill", style: { display: "block", width: `${100 * Math.max(0, Math.min(1, p))}%` } }),
    ),
  );
}

/** Pieces with what they add: the stronger, the deeper the colour; for is solid, against dashed. */
export function weighedPieces(pieces) {
  const largest = Math.max(...pieces.map((each) => Math.abs(each.value)), 1e-12);
  return element(
    "div",
    { class: "strip", style: { maxHeight: "none" } },
    pieces.map(({ piece, value }) => {
      const strength = Math.abs(value) / largest;
      const side = value >= 0 ? "accent" : "against";
      return element(
        "span",
        {
          class: `piece ${strength < 0.05 ? "" : value >= 0 ? "for" : "against"}`,
          style: { background: `rgba(var(--${side}-rgb), ${(0.65 * strength).toFixed(3)})` },
          title: `${signed(value)}`,
        },
        piece,
      );
    }),
  );
}

/** 0.123 -> "+0.123". */
export function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}
