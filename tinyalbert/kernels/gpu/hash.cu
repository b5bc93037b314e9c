// ops.dropout_mask, number for number: whether an element of an example is kept.

__device__ unsigned mix(unsigned x) {
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

// Where a step's part of key and first row lies in memory, draw (2,), so that the launch can be replayed: it is added.
__device__ void add_draw(const long long* draw, long long& key, long long& first_row) {
    if (!draw) return;
    key += draw[0];
    first_row += draw[1];
}

// Each hash makes two 16-bit numbers, the lower one first.  threshold: p * 65536.
__device__ bool kept(unsigned row, unsigned element, unsigned key, unsigned threshold) {
    unsigned bits = mix(mix(row * 0x9E3779B9u + key) + element / 2);
    return (element % 2 ? bits >> 16 : bits & 0xFFFFu) >= threshold;
}
