// CUDA's vocabulary for a C++ compiler: the threads of a block are fibers, which change at __syncthreads.
//
// Blocks run one after the other. Within a block, every fiber runs to its next barrier before any goes on. In which
// order they do is a parameter, so a kernel that gives other bits in another order has a race.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include <utility>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

// A fiber is made once, by makecontext, and then runs one thread of one block after the other: it is left and entered by
// _longjmp, which asks nothing of the system.
struct Fiber {
    ucontext_t first;
    jmp_buf place;
    bool started;
};
constexpr unsigned MOST = 1024;          // threads of a block
constexpr size_t STACK = 1 << 16;
static Fiber fibers[MOST], *running;
static jmp_buf scheduler;
static void leave() {
    if (!_setjmp(running->place)) _longjmp(scheduler, 1);
}
static void __syncthreads() { leave(); }

static void (*work)(void **);
static void **work_arguments;
static bool finished;
static void enter() {
    for (;;) {
        work(work_arguments);
        finished = true;
        leave();
    }
}
static void resume(Fiber &fiber) {
    running = &fiber;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    getcontext(&fiber.first);
    if (fiber.first.uc_stack.ss_sp == nullptr) fiber.first.uc_stack.ss_sp = malloc(STACK);
    fiber.first.uc_stack.ss_size = STACK;
    fiber.first.uc_link = nullptr;
    makecontext(&fiber.first, enter, 0);
    setcontext(&fiber.first);
}

static void shuffle(unsigned *turn, unsigned n, unsigned &state) {
    for (; n > 1; n--) {
        state = state * 1664525 + 1013904223;
        unsigned other = (state >> 8) % n;
        std::swap(turn[n - 1], turn[other]);
    }
}

enum Order { FORWARD, REVERSED };        // any larger number: shuffled anew before every turn, by that seed

// Runs one launch; false if some threads of a block ended while others waited at a barrier.
static bool emulate(void (*kernel)(void **), void **arguments, dim3 grid, dim3 block, unsigned order) {
    work = kernel, work_arguments = arguments, blockDim = block, gridDim = grid;
    unsigned turn[MOST], state = order;
    bool together = true;
    for (blockIdx.z = 0; blockIdx.z < grid.z && together; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < grid.y && together; blockIdx.y++)
    for (blockIdx.x = 0; blockIdx.x < grid.x && together; blockIdx.x++) {
        for (unsigned t = 0; t < block.x; t++) turn[t] = order == REVERSED ? block.x - 1 - t : t;
        for (unsigned ended = 0; ended == 0;) {
            if (order > REVERSED) shuffle(turn, block.x, state);
            for (unsigned i = 0; i < block.x; i++) {
                finished = false, threadIdx = {turn[i], 0, 0};
                resume(fibers[turn[i]]);
                ended += finished;
            }
            together = ended == 0 || ended == block.x;
        }
    }
    if (!together)
        for (Fiber &fiber : fibers) fiber.started = false;   // each was left in the midst of its thread
    return together;
}

// Reads a launch's arguments as CUDA does, from pointers to them.
template <class... P, size_t... I> static void spread(void (*kernel)(P...), void **a, std::index_sequence<I...>) {
    kernel(*(P *)a[I]...);
}
template <class... P> static void call(void (*kernel)(P...), void **a) {
    spread(kernel, a, std::index_sequence_for<P...>{});
}
#define EMULATE(name) \
    extern "C" bool emulate_##name(void **arguments, dim3 grid, dim3 block, unsigned order) { \
        return emulate([](void **a) { call(name, a); }, arguments, grid, block, order); }
