// The tiled matrix product  out(m, n) = sum_k a(m, k) b(k, n)  of matrices that are never written down.
//
// An operand says where an entry lies in an image, a kernel or a gradient, or that it is zero (padding). It gives V
// entries at once, which lie side by side in memory: along the depth k if ALONG_K, else along its lines m (or n).
// What depends on the line alone is worked out once (line), what depends on k alone once a tile (depth).
//
// A block computes BM x BN entries; its threads take TM x TN each, BK of the depth at a time. Two pairs of tiles lie
// in shared memory, as[k][m] and bs[k][n]: while one is multiplied, the next waits in registers for its place.
//
// Constants: T, and the tile BM BN BK TM TN. Every sum runs over k upwards, in one thread: the same bits every time.

constexpr int THREADS = (BM / TM) * (BN / TN), GAP = 4;

template <int V> struct alignas(V * sizeof(T) < 16 ? V * sizeof(T) : 16) Vec { T v[V]; };
template <int V> __device__ Vec<V> zeros() {
    Vec<V> z;
    for (int i = 0; i < V; i++) z.v[i] = 0;
    return z;
}

// How many of n entries a thread has side by side.
__device__ constexpr int adjoining(int n) { return n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1; }

// A thread's part of one tile of operand F: from global memory to registers (load), from there to shared (store).
template <class F, int WIDTH> struct Tile {
    static constexpr int V = F::V, ACROSS = (F::ALONG_K ? BK : WIDTH) / V, COUNT = WIDTH * BK / V;
    static constexpr int EACH = (COUNT + THREADS - 1) / THREADS;
    static constexpr bool EVEN = THREADS % ACROSS == 0;  // then all of a thread's vectors lie in one column
    static_assert((F::ALONG_K ? BK : WIDTH) % V == 0, "a tile is whole vectors wide");
    Vec<V> held[EACH];

    __device__ static int across(int n) { return (EVEN ? threadIdx.x : threadIdx.x + n * THREADS) % ACROSS * V; }
    __device__ static int down(int n) {
        return EVEN ? threadIdx.x / ACROSS + n * (THREADS / ACROSS) : (threadIdx.x + n * THREADS) / ACROSS;
    }
    __device__ static int m(int n) { return F::ALONG_K ? down(n) : across(n); }
    __device__ static int k(int n) { return F::ALONG_K ? across(n) : down(n); }
    __device__ static bool mine(int n) { return COUNT % THREADS == 0 || threadIdx.x + n * THREADS < COUNT; }

    __device__ void load(const F &from, const typename F::Line (&lines)[EACH], int k0) {
        #pragma unroll
        for (int n = 0; n < EACH; n++)
            if (mine(n)) held[n] = from.at(lines[n], from.depth(k0 + k(n)));
    }
    __device__ void store(T (*to)[WIDTH + GAP]) const {
        #pragma unroll
        for (int n = 0; n < EACH; n++)
            if (mine(n)) {
                #pragma unroll
                for (int i = 0; i < V; i++) (F::ALONG_K ? to[k(n) + i][m(n)] : to[k(n)][m(n) + i]) = held[n].v[i];
            }
    }
};

// The entries of one block, for begin <= k < end; out.at(m) is where row m begins, or null beyond the last.
template <class A, class B, class Out>
__device__ void product(const A &a, const B &b, int begin, int end, const Out &out, int columns) {
    alignas(16) __shared__ T as[2][BK][BM + GAP];
    alignas(16) __shared__ T bs[2][BK][BN + GAP];
    constexpr int GM = adjoining(TM), GN = adjoining(TN), ROWS = BM / TM, COLUMNS = BN / TN;
    int m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
    int tm = threadIdx.x / COLUMNS * GM, tn = threadIdx.x % COLUMNS * GN;
    Tile<A, BM> next_a;
    Tile<B, BN> next_b;
    typename A::Line lines_a[Tile<A, BM>::EACH];
    typename B::Line lines_b[Tile<B, BN>::EACH];
    #pragma unroll
    for (int n = 0; n < Tile<A, BM>::EACH; n++) lines_a[n] = a.line(m0 + next_a.m(n));
    #pragma unroll
    for (int n = 0; n < Tile<B, BN>::EACH; n++) lines_b[n] = b.line(n0 + next_b.m(n));

    T sum[TM][TN] = {};
    if (begin < end) {
        next_a.load(a, lines_a, begin);
        next_b.load(b, lines_b, begin);
        next_a.store(as[0]);
        next_b.store(bs[0]);
    }
    __syncthreads();
    for (int k0 = begin, now = 0; k0 < end; k0 += BK, now ^= 1) {
        bool more = k0 + BK < end;
        if (more) {
            next_a.load(a, lines_a, k0 + BK);
            next_b.load(b, lines_b, k0 + BK);
        }
        #pragma unroll
        for (int k = 0; k < BK; k++) {
            T am[TM], bn[TN];
            #pragma unroll
            for (int i = 0; i < TM; i++) am[i] = as[now][k][i / GM * (ROWS * GM) + tm + i % GM];
            #pragma unroll
            for (int j = 0; j < TN; j++) bn[j] = bs[now][k][j / GN * (COLUMNS * GN) + tn + j % GN];
            #pragma unroll
            for (int i = 0; i < TM; i++)
                #pragma unroll
                for (int j = 0; j < TN; j++) sum[i][j] += am[i] * bn[j];
        }
        if (more) {
            next_a.store(as[now ^ 1]);
            next_b.store(bs[now ^ 1]);
        }
        __syncthreads();
    }
    constexpr int V = Out::V % GN == 0 ? GN : 1;
    #pragma unroll
    for (int i = 0; i < TM; i++) {
        T *row = out.at(m0 + i / GM * (ROWS * GM) + tm + i % GM);
        #pragma unroll
        for (int j = 0; j < TN; j += V) {
            int n = n0 + j / GN * (COLUMNS * GN) + tn + j % GN;
            if (row == nullptr || n >= columns) continue;
            Vec<V> group;
            #pragma unroll
            for (int v = 0; v < V; v++) group.v[v] = sum[i][j + v];
            *(Vec<V> *)(row + n) = group;
        }
    }
}

// Rows of an output that lies as it is counted.
template <int WIDTH> struct Dense {
    static constexpr int V = WIDTH;
    T *out;
    int rows, columns;
    __device__ T *at(int m) const { return m < rows ? out + (long long)m * columns : nullptr; }
};

// (depth, columns) as it lies: the kernel (K K C, Q), or a gradient (pixels, Q).
template <int WIDTH> struct Matrix {
    static constexpr bool ALONG_K = false;
    static constexpr int V = WIDTH;
    const T *data;
    int columns, end;
    struct Line { int n; };
    struct Depth { int k; };
    __device__ Line line(int n) const { return {n < columns ? n : -1}; }
    __device__ Depth depth(int k) const { return {k < end ? k : -1}; }
    __device__ Vec<V> at(Line l, Depth d) const {
        return l.n >= 0 && d.k >= 0 ? *(const Vec<V> *)(data + d.k * columns + l.n) : zeros<V>();
    }
};
