// Entry by entry, V at a time, over arrays of `size` vectors. Constants: T V.

template <int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Vec { T v[N]; };

#define EACH_VECTOR(i) \
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x)

// y = max(a, 0)
extern "C" __global__ void relu(const Vec<V> *a, Vec<V> *y, int size) {
    EACH_VECTOR(i) {
        Vec<V> u = a[i];
        for (int j = 0; j < V; j++) u.v[j] = u.v[j] < 0 ? 0 : u.v[j];
        y[i] = u;
    }
}

// y = max(a + b, 0), or a + b
template <bool FLOOR> __device__ void sum(const Vec<V> *a, const Vec<V> *b, Vec<V> *y, int size) {
    EACH_VECTOR(i) {
        Vec<V> u = a[i], v = b[i];
        for (int j = 0; j < V; j++) {
            T total = u.v[j] + v.v[j];
            u.v[j] = FLOOR && total < 0 ? 0 : total;
        }
        y[i] = u;
    }
}
extern "C" __global__ void add(const Vec<V> *a, const Vec<V> *b, Vec<V> *y, int size) { sum<false>(a, b, y, size); }
extern "C" __global__ void add_relu(const Vec<V> *a, const Vec<V> *b, Vec<V> *y, int size) { sum<true>(a, b, y, size); }

// gx = gy where y > 0, else 0
extern "C" __global__ void relu_gradient(const Vec<V> *y, const Vec<V> *gy, Vec<V> *gx, int size) {
    EACH_VECTOR(i) {
        Vec<V> u = y[i], g = gy[i];
        for (int j = 0; j < V; j++) g.v[j] = u.v[j] > 0 ? g.v[j] : 0;
        gx[i] = g;
    }
}
