// The gradient of a convolution (forward.cu) with respect to its kernel, gw (K, K, C, Q) from x and gy:
//
//     gw[i, j, c, :] = sum over pixels (n, p, q) of  x[n, S p + i - PAD, S q + j - PAD, c]  gy[n, p, q, :]
//
// As a product: a row m is (i, j, c), k runs over the output pixels. There are few rows and many pixels, so the
// pixels are split among blockIdx.z, and a second kernel adds the parts in their order. Constants: those of
// forward.cu.

constexpr int PAD = K / 2, OH = (H + S - 1) / S, OW = (W + S - 1) / S, FAR = 1 << 20;

struct Taps {                            // of x: entries along c, so along the rows, lie side by side
    static constexpr bool ALONG_K = false;
    static constexpr int V = VX;
    const T *x;
    int end;
    struct Line { int offset, i, j; };
    struct Depth { int offset, h, w; };
    __device__ Line line(int m) const {
        int c = m % C, j = m / C % K, i = m / (C * K);
        return {(i * W + j) * C + c, i < K ? i : -FAR, j};
    }
    __device__ Depth depth(int k) const {
        int q = k % OW, p = k / OW % OH, n = k / (OW * OH), h = S * p - PAD, w = S * q - PAD;
        return {((n * H + h) * W + w) * C, k < end ? h : -FAR, w};
    }
    __device__ Vec<V> at(Line l, Depth d) const {
        bool in = (unsigned)(l.i + d.h) < H && (unsigned)(l.j + d.w) < W;
        return in ? *(const Vec<V> *)(x + (l.offset + d.offset)) : zeros<V>();
    }
};

// Part blockIdx.z of the sum: the pixels [z each, (z + 1) each).
extern "C" __global__ void __launch_bounds__(THREADS) kernel_gradient(
    const T *x, const T *gy, T *parts, int images, int each) {
    int pixels = images * OH * OW, begin = blockIdx.z * each, end = begin + each < pixels ? begin + each : pixels;
    T *part = parts + (long long)blockIdx.z * (K * K * C * Q);
    product(Taps{x, end}, Matrix<VY>{gy, Q, end}, begin, end, Dense<VW>{part, K * K * C, Q}, Q);
}

// gw = the sum of the parts. A block has SUM entries in ORDER lines of threads: line l adds the parts l, l + ORDER, ...,
// and the first line adds the lines.
constexpr int SUM = 32, ORDER = 8;
extern "C" __global__ void __launch_bounds__(SUM * ORDER) sum_parts(const T *parts, T *gw, int count) {
    __shared__ double lines[ORDER][SUM];
    constexpr int SIZE = K * K * C * Q;
    int entry = threadIdx.x % SUM, line = threadIdx.x / SUM, i = blockIdx.x * SUM + entry;
    double total = 0;
    if (i < SIZE)
        for (int p = line; p < count; p += ORDER) total += parts[(long long)p * SIZE + i];
    lines[line][entry] = total;
    __syncthreads();
    if (line != 0 || i >= SIZE) return;
    for (int l = 1; l < ORDER; l++) total += lines[l][entry];
    gw[i] = total;
}
