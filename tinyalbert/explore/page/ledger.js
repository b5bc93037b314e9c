// The ledger of parameters: what ALBERT and a BERT of the same size are made of (Lan et al. 2020, §3.1).

/** {part: parameters} of an ALBERT with both pretraining heads; sizes: {V, E, H, L, I, P}. */
export function albert({ V, E, H, I, P }) {
  return {
    "word embeddings": V * E,
    "positions, segments, norm": P * E + 2 * E + 2 * E,
    "projection E → H": E * H + H,
    "attention": attention(H),
    "feed-forward": feedForward(H, I),
    "pooler": H * H + H,
    "heads": H * E + E + 2 * E + V + (2 * H + 2),
  };
}

/** The same parts of a BERT: no factorised embeddings, every layer has its own parameters. */
export function bert({ V, H, L, I, P }) {
  return {
    "word embeddings": V * H,
    "positions, segments, norm": P * H + 2 * H + 2 * H,
    "projection E → H": 0,
    "attention": L * attention(H),
    "feed-forward": L * feedForward(H, I),
    "pooler": H * H + H,
    "heads": H * H + H + 2 * H + V + (2 * H + 2),
  };
}

function attention(H) {
  return 4 * (H * H + H) + 2 * H;
}

function feedForward(H, I) {
  return H * I + I + I * H + H + 2 * H;
}

/** The sum of the parts. */
export function total(parts) {
  return Object.values(parts).reduce((sum, part) => sum + part, 0);
}
