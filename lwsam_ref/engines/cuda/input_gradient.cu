// The gradient of a convolution (forward.cu) with respect to its input, gx (N, H, W, C) from gy (N, OH, OW, Q) and w:
//
//     gx[n, h, v, :] = sum over (i, j) with S p + i - PAD = h, S q + j - PAD = v  of  w[i, j, :, :] gy[n, p, q, :]
//
// With a stride S the taps that reach a pixel depend on h mod S and v mod S: blockIdx.z is that pair, so no tap is
// visited in vain. A row m is a pixel of the class, k runs over (its taps i, its taps j, q); a class that no tap
// reaches (kernel 1 x 1, stride 2) gets zeros. Constants: those of forward.cu.

constexpr int PAD = K / 2, OH = (H + S - 1) / S, OW = (W + S - 1) / S, FAR = 1 << 20;

// Along one axis, of the pixels h = S u + first: how many there are, and their taps tap, tap + S, ... < K.
struct Class {
    int first, count, tap, taps;
    __device__ Class(int first, int size) : first(first), count((size - first + S - 1) / S), tap((first + PAD) % S) {
        taps = tap < K ? (K - tap + S - 1) / S : 0;
    }
};

struct Spread {                          // of gy
    static constexpr bool ALONG_K = true;
    static constexpr int V = VY;
    const T *gy;
    Class rows, columns;
    int pixels;
    struct Line { int offset, p, q; };   // where tap number 0 of the class finds its pixel
    struct Depth { int offset, i, j; };
    __device__ Line line(int m) const {
        int v = m % columns.count, u = m / columns.count % rows.count, n = m / (columns.count * rows.count);
        int p = (S * u + rows.first + PAD - rows.tap) / S, q = (S * v + columns.first + PAD - columns.tap) / S;
        return {((n * OH + p) * OW + q) * Q, m < pixels ? p : -FAR, q};
    }
    __device__ Depth depth(int k) const {
        int q = k % Q, j = k / Q % columns.taps, i = k / Q / columns.taps;
        return {q - (i * OW + j) * Q, i < rows.taps ? i : FAR, j};
    }
    __device__ Vec<V> at(Line l, Depth d) const {
        bool in = (unsigned)(l.p - d.i) < OH && (unsigned)(l.q - d.j) < OW;
        return in ? *(const Vec<V> *)(gy + (l.offset + d.offset)) : zeros<V>();
    }
};

struct Turned {                          // w: columns are c, and k runs as in Spread
    static constexpr bool ALONG_K = true;
    static constexpr int V = VW;
    const T *w;
    Class rows, columns;
    struct Line { int c; };
    struct Depth { int offset; };
    __device__ Line line(int c) const { return {c < C ? c : -1}; }
    __device__ Depth depth(int k) const {
        int q = k % Q, j = columns.tap + S * (k / Q % columns.taps), i = rows.tap + S * (k / Q / columns.taps);
        return {i < K ? (i * K + j) * C * Q + q : -1};
    }
    __device__ Vec<V> at(Line l, Depth d) const {
        return l.c >= 0 && d.offset >= 0 ? *(const Vec<V> *)(w + (d.offset + l.c * Q)) : zeros<V>();
    }
};

struct Pixels {                          // rows of gx
    static constexpr int V = VX;
    T *gx;
    Class rows, columns;
    int pixels;
    __device__ T *at(int m) const {
        int v = m % columns.count, u = m / columns.count % rows.count, n = m / (columns.count * rows.count);
        long long pixel = ((long long)n * H + S * u + rows.first) * W + S * v + columns.first;
        return m < pixels ? gx + pixel * C : nullptr;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) input_gradient(
    const T *gy, const T *w, T *gx, int images) {
    Class rows(blockIdx.z / S, H), columns(blockIdx.z % S, W);
    int pixels = images * rows.count * columns.count;
    if (blockIdx.x * BM >= pixels) return;
    product(Spread{gy, rows, columns, pixels}, Turned{w, rows, columns}, 0, rows.taps * columns.taps * Q,
            Pixels{gx, rows, columns, pixels}, C);
}
