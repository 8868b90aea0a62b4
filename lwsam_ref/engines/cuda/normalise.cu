// Batch norm over the rows of x (rows, C), and a ReLU on top of it if RELU is 1:
//
//     y = max(0, gamma (x - mean) / sqrt(variance + eps) + beta)
//
// A block has LINES lines of COLS threads; a thread has V channels of the rows line, line + LINES, ... of the block's
// part (blockIdx.x) of the rows; blockIdx.y is the part of the channels. Sums are made in float64: over a thread's
// rows, over a block's lines in a tree, and over the blocks by a second kernel, one block a channel.
//
// `table` (rows of C entries) holds what the entries are computed from, in their own type: near and scale of the way
// forward, slope, offset of the way back. The mask of the ReLU is computed again from x, by the same function.
//
// Constants: T C RELU V COLS LINES.

constexpr int THREADS = COLS * LINES, FOLD = 128;

template <int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Vec { T v[N]; };

__device__ T straight(T x, T near, T scale, T beta) { return fma(x - near, scale, beta); }

struct Rows {                            // what a thread visits
    int c, from, to;
    __device__ Rows(int rows, int each) {
        int line = threadIdx.x / COLS, first = blockIdx.x * each, last = first + each;
        c = (blockIdx.y * COLS + threadIdx.x % COLS) * V;
        from = first + line;
        to = last < rows ? last : rows;
    }
};

// The block's sums of two quantities a channel, to parts[blockIdx.x][2][C].
__device__ void fold(double (&one)[V], double (&two)[V], int c, double *parts) {
    __shared__ double sums[LINES][COLS][2 * V];
    int line = threadIdx.x / COLS, column = threadIdx.x % COLS;
    double *own = sums[line][column];
    for (int i = 0; i < V; i++) own[i] = one[i], own[V + i] = two[i];
    __syncthreads();
    for (int n = LINES; n > 1; n = (n + 1) / 2) {
        int half = (n + 1) / 2;
        if (line + half < n)
            for (int i = 0; i < 2 * V; i++) own[i] += sums[line + half][column][i];
        __syncthreads();
    }
    double *to = parts + (long long)blockIdx.x * 2 * C;
    if (line == 0)
        for (int i = 0; i < V; i++) to[c + i] = own[i], to[C + c + i] = own[V + i];
}

// Both sums of channel blockIdx.x over the parts; valid in thread 0.
__device__ void total(const double *parts, int count, double &one, double &two) {
    __shared__ double sums[FOLD][2];
    double *own = sums[threadIdx.x];
    own[0] = own[1] = 0;
    for (int p = threadIdx.x; p < count; p += FOLD)
        for (int i = 0; i < 2; i++) own[i] += parts[(long long)(2 * p + i) * C + blockIdx.x];
    __syncthreads();
    for (int half = FOLD / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            for (int i = 0; i < 2; i++) own[i] += sums[threadIdx.x + half][i];
        __syncthreads();
    }
    one = own[0], two = own[1];
}

// Sums of x and x^2, x counted from the first row's entry of its channel: nothing cancels, however far x lies from 0.
extern "C" __global__ void __launch_bounds__(THREADS) moments(const T *x, double *parts, int rows, int each) {
    Rows mine(rows, each);
    double one[V] = {}, two[V] = {};
    Vec<V> origin = *(const Vec<V> *)(x + mine.c);
    #pragma unroll 4
    for (int m = mine.from; m < mine.to; m += LINES) {
        Vec<V> at = *(const Vec<V> *)(x + (long long)m * C + mine.c);
        for (int i = 0; i < V; i++) {
            double d = (double)at.v[i] - (double)origin.v[i];
            one[i] += d;
            two[i] += d * d;
        }
    }
    fold(one, two, mine.c, parts);
}

extern "C" __global__ void __launch_bounds__(FOLD) statistics(
    const double *parts, const T *x, const T *gamma, double *mean, double *variance, T *table, int count, int rows,
    double eps) {
    double one, two;
    total(parts, count, one, two);
    if (threadIdx.x != 0) return;
    int c = blockIdx.x;
    double shift = one / rows, spread = two / rows - shift * shift;
    mean[c] = x[c] + shift;
    variance[c] = spread > 0 ? spread : 0;
    table[c] = mean[c];
    table[C + c] = gamma[c] / sqrt(variance[c] + eps);
}

extern "C" __global__ void __launch_bounds__(THREADS) normalise(
    const T *x, const T *table, const T *beta, T *y, int rows, int each) {
    Rows mine(rows, each);
    T near[V], scale[V], shift[V];
    for (int i = 0; i < V; i++)
        near[i] = table[mine.c + i], scale[i] = table[C + mine.c + i], shift[i] = beta[mine.c + i];
    #pragma unroll 4
    for (int m = mine.from; m < mine.to; m += LINES) {
        long long place = (long long)m * C + mine.c;
        Vec<V> at = *(const Vec<V> *)(x + place);
        for (int i = 0; i < V; i++) {
            T value = straight(at.v[i], near[i], scale[i], shift[i]);
            at.v[i] = RELU && value < 0 ? 0 : value;
        }
        *(Vec<V> *)(y + place) = at;
    }
}

// Sums of gy and gy (x - near), gy being 0 where the ReLU was.
extern "C" __global__ void __launch_bounds__(THREADS) slopes(
    const T *x, const T *gy, const T *table, const T *beta, double *parts, int rows, int each) {
    Rows mine(rows, each);
    double one[V] = {}, two[V] = {};
    T near[V], scale[V], shift[V];
    for (int i = 0; i < V; i++)
        near[i] = table[mine.c + i], scale[i] = table[C + mine.c + i], shift[i] = beta[mine.c + i];
    #pragma unroll 2
    for (int m = mine.from; m < mine.to; m += LINES) {
        long long place = (long long)m * C + mine.c;
        Vec<V> at = *(const Vec<V> *)(x + place), g = *(const Vec<V> *)(gy + place);
        for (int i = 0; i < V; i++) {
            bool off = RELU && !(straight(at.v[i], near[i], scale[i], shift[i]) > 0);
            double arriving = off ? 0 : g.v[i];
            one[i] += arriving;
            two[i] += arriving * (double)(at.v[i] - near[i]);
        }
    }
    fold(one, two, mine.c, parts);
}

// ggamma = sum gy (x - mean) / sigma and gbeta = sum gy, each written where it is not null; slope and offset of gx.
extern "C" __global__ void __launch_bounds__(FOLD) parameter_gradients(
    const double *parts, const T *gamma, const double *mean, const double *variance, T *table, T *ggamma, T *gbeta,
    int count, int rows, double eps) {
    double one, two;
    total(parts, count, one, two);
    if (threadIdx.x != 0) return;
    int c = blockIdx.x;
    double inverse = 1 / sqrt(variance[c] + eps), scale = gamma[c] * inverse;
    double product = (two - (mean[c] - table[c]) * one) * inverse;
    if (ggamma) ggamma[c] = product;
    if (gbeta) gbeta[c] = one;
    table[2 * C + c] = -scale * inverse * product / rows;
    table[3 * C + c] = -scale * one / rows;
}

// gx = slope (x - near) + offset + scale gy.
extern "C" __global__ void __launch_bounds__(THREADS) centred(
    const T *x, const T *gy, const T *table, const T *beta, T *gx, int rows, int each) {
    Rows mine(rows, each);
    T near[V], scale[V], slope[V], offset[V], shift[V];
    for (int i = 0; i < V; i++) {
        near[i] = table[mine.c + i], scale[i] = table[C + mine.c + i], shift[i] = beta[mine.c + i];
        slope[i] = table[2 * C + mine.c + i], offset[i] = table[3 * C + mine.c + i];
    }
    #pragma unroll 4
    for (int m = mine.from; m < mine.to; m += LINES) {
        long long place = (long long)m * C + mine.c;
        Vec<V> at = *(const Vec<V> *)(x + place), g = *(const Vec<V> *)(gy + place);
        for (int i = 0; i < V; i++) {
            bool off = RELU && !(straight(at.v[i], near[i], scale[i], shift[i]) > 0);
            at.v[i] = (at.v[i] - near[i]) * slope[i] + offset[i] + (off ? 0 : g.v[i] * scale[i]);
        }
        *(Vec<V> *)(gx + place) = at;
    }
}

// running <- momentum running + (1 - momentum) batch, the variance times `unbiased` = M / (M - 1).
extern "C" __global__ void __launch_bounds__(FOLD) move_running(
    T *mean, T *variance, const double *batch_mean, const double *batch_variance, double momentum, double unbiased) {
    int c = blockIdx.x * FOLD + threadIdx.x;
    if (c >= C) return;
    T keep = momentum, take = 1 - momentum;
    mean[c] = mean[c] * keep + take * (T)batch_mean[c];
    variance[c] = variance[c] * keep + take * (T)(batch_variance[c] * unbiased);
}
