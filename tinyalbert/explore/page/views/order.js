// View 7: sentence order.

import { bar, element, weighedPieces } from "explore/dom.js";

export const title = "Order";
export const question = "Do these two stand in the right order?";
export const look =
  "The model learned to tell neighbouring segments from swapped ones. Compare both orders; underlined solid speaks for “in order”, dashed for “swapped”.";

export async function render(box, { question: asked, ask }) {
  const { given, swapped } = await ask("order", asked);
  for (const [name, judged] of [["As given", given], ["Swapped", swapped]]) {
    box.append(
      element("h3", {}, name),
      element("p", {}, `${judged.first} ⟶ ${judged.second}`),
      bar("in order", judged.p),
      bar("swapped", 1 - judged.p),
      weighedPieces(judged.pieces),
    );
  }
}
