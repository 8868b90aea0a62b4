// Convolution of images x (N, H, W, C) with a kernel w (K, K, C, Q), zero padding K / 2, stride S, to y (N, OH, OW, Q):
//
//     y[n, p, q, :] = sum over i, j, c of  x[n, S p + i - PAD, S q + j - PAD, c]  w[i, j, c, :]
//
// As a product: a row m is an output pixel, k runs over (i, j, c). Constants: product.cu's, K S H W C Q, and how
// many entries of x, w and y may be read at once, VX VW VY (1 where a tensor lies at an odd place).

constexpr int PAD = K / 2, OH = (H + S - 1) / S, OW = (W + S - 1) / S, FAR = 1 << 20;

struct Columns {
    static constexpr bool ALONG_K = true;
    static constexpr int V = VX;
    const T *x;
    int pixels;
    struct Line { int offset, h, w; };   // of tap (0, 0), as if nothing were padded; FAR outside where m is no pixel
    struct Depth { int offset, i, j; };
    __device__ Line line(int m) const {
        int q = m % OW, p = m / OW % OH, n = m / (OW * OH), h = S * p - PAD, w = S * q - PAD;
        return {((n * H + h) * W + w) * C, m < pixels ? h : -FAR, w};
    }
    __device__ Depth depth(int k) const {
        int c = k % C, j = k / C % K, i = k / (C * K);
        return {(i * W + j) * C + c, i < K ? i : -FAR, j};
    }
    __device__ Vec<V> at(Line l, Depth d) const {
        bool in = (unsigned)(l.h + d.i) < H && (unsigned)(l.w + d.j) < W;
        return in ? *(const Vec<V> *)(x + (l.offset + d.offset)) : zeros<V>();
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) forward(const T *x, const T *w, T *y, int images) {
    int pixels = images * OH * OW, depth = K * K * C;
    product(Columns{x, pixels}, Matrix<VW>{w, Q, depth}, 0, depth, Dense<VY>{y, pixels, Q}, Q);
}
