// The scheduler of one block's fibers, and what warps compute together.
#include "cuda/simt_host.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "cuda/simt_fibers.h"
#include "kernels/cpu/half.h"

namespace fastserve::simt {
namespace {

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
  void* target;
  const void* source;
  bool valid;
};

struct Fiber {
  Context context;
  Thread thread;
  State state = State::kReady;
  unsigned mask = 0;
  const char* operation = "";
  Resolve resolve = nullptr;
  LaneData data;
  std::vector<std::vector<Copy>> groups;  // committed copies, oldest first
  std::vector<Copy> open;
};

struct Block {
  Shape shape;
  const std::function<void()>* kernel = nullptr;
  std::vector<Fiber> fibers;
  Fiber* running = nullptr;
  Context scheduler;
  uint8_t* shared = nullptr;
  std::string failure;
};

Block block;
Order order = Order::kAscending;

void leave(State state) {
  Fiber& fiber = *block.running;
  fiber.state = state;
  switch_context(fiber.context, block.scheduler, state == State::kDone);
}

void fiber_main() {
  enter_fiber(block.scheduler);
  (*block.kernel)();
  if (!block.running->open.empty() && block.failure.empty()) block.failure = "asynchronous copies were not committed";
  leave(State::kDone);
}

// The lanes of a warp go on once all that were named have come to the same operation.
void resolve_warp(size_t first) {
  Fiber& arrived = *block.running;
  LaneData* lanes[32] = {};
  for (size_t lane = 0; lane < 32; ++lane) {
    if ((arrived.mask >> lane & 1u) == 0) continue;
    if (first + lane >= block.fibers.size()) return;
    Fiber& fiber = block.fibers[first + lane];
    const bool same = fiber.state == State::kInWarp && fiber.resolve == arrived.resolve && fiber.mask == arrived.mask;
    if (!same) return;
    lanes[lane] = &fiber.data;
  }
  arrived.resolve(lanes, arrived.mask);
  for (size_t lane = 0; lane < 32; ++lane) {
    if (lanes[lane] != nullptr) block.fibers[first + lane].state = State::kReady;
  }
}

std::string describe(const Fiber& fiber) {
  switch (fiber.state) {
    case State::kAtBarrier:
      return "waits at __syncthreads";
    case State::kInWarp:
      return std::string("waits at ") + fiber.operation;
    case State::kDone:
      return "is done";
    case State::kReady:
      break;
  }
  return "is ready";
}

std::string describe_stuck(const Thread& where) {
  std::string text = "block " + std::to_string(where.block_index.x) + "," + std::to_string(where.block_index.y) + "," +
                     std::to_string(where.block_index.z) + ":";
  for (size_t i = 0; i < block.fibers.size();) {
    size_t end = i + 1;
    const std::string state = describe(block.fibers[i]);
    while (end < block.fibers.size() && describe(block.fibers[end]) == state) ++end;
    text += " threads " + std::to_string(i) + "-" + std::to_string(end - 1) + " " + state + ";";
    i = end;
    if (text.size() > 200) break;
  }
  return text;
}

// Everybody at the barrier: all go on. Returns false where nobody can.
bool release_barrier() {
  const bool all = std::all_of(block.fibers.begin(), block.fibers.end(),
                               [](const Fiber& fiber) { return fiber.state == State::kAtBarrier; });
  if (!all) return false;
  for (Fiber& fiber : block.fibers) fiber.state = State::kReady;
  return true;
}

bool run_round() {
  bool any = false;
  const size_t count = block.fibers.size();
  for (size_t step = 0; step < count && block.failure.empty(); ++step) {
    Fiber& fiber = block.fibers[order == Order::kAscending ? step : count - 1 - step];
    if (fiber.state != State::kReady) continue;
    any = true;
    block.running = &fiber;
    switch_context(block.scheduler, fiber.context);
  }
  return any;
}

bool run_block(const dim3& index) {
  const dim3 size = block.shape.block;
  block.fibers.clear();
  block.fibers.resize(size_t{size.x} * size.y * size.z);
  std::memset(block.shared, 0xff, block.shape.shared_bytes);
  for (size_t i = 0; i < block.fibers.size(); ++i) {
    Fiber& fiber = block.fibers[i];
    fiber.context = make_fiber(i, fiber_main);
    const auto flat = static_cast<unsigned>(i);
    fiber.thread = {{flat % size.x, flat / size.x % size.y, flat / size.x / size.y}, index};
  }
  while (block.failure.empty()) {
    if (run_round()) continue;
    const bool done = std::all_of(block.fibers.begin(), block.fibers.end(),
                                  [](const Fiber& fiber) { return fiber.state == State::kDone; });
    if (done) return true;
    if (!release_barrier()) block.failure = describe_stuck(block.fibers[0].thread);
  }
  return false;
}

// Shared memory ends where a page without access begins.
class SharedMemory {
 public:
  explicit SharedMemory(size_t size_bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (size_bytes + page - 1) / page * page;
    mapped_bytes_ = whole + page;
    void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<uint8_t*>(memory);
    mprotect(base_ + whole, page, PROT_NONE);
    data_ = base_ + whole - (size_bytes + 15) / 16 * 16;
  }
  ~SharedMemory() { munmap(base_, mapped_bytes_); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  uint8_t* data() const { return data_; }

 private:
  uint8_t* base_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t mapped_bytes_ = 0;
};

void do_copies(std::vector<Copy>& copies) {
  for (const Copy& copy : copies) {
    if (copy.valid) {
      std::memcpy(copy.target, copy.source, 16);
    } else {
      std::memset(copy.target, 0, 16);
    }
  }
  copies.clear();
}

template <typename T>
T read_lane(const uint8_t* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

float element_16(uint32_t word, int index, bool bf16) {
  const auto bits = static_cast<uint16_t>(word >> (16 * index));
  return bf16 ? kernels::bf16_to_float(bits) : kernels::f16_to_float(bits);
}

// C += A * B over all lanes' fragments; `dot` sums the products of one pair of words.
template <typename C, typename Dot>
void multiply_fragments(LaneData* const lanes[32], int words, Dot dot) {
  MmaInput<C> in[32];
  for (int lane = 0; lane < 32; ++lane) in[lane] = read_lane<MmaInput<C>>(lanes[lane]->in);
  for (int lane = 0; lane < 32; ++lane) {
    C out[4];
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4, upper = i / 2, column = lane % 4 * 2 + i % 2;
      C sum = in[lane].c[i];
      for (int word = 0; word < words; ++word) {
        for (int t = 0; t < 4; ++t) {
          sum += dot(in[row * 4 + t].a[2 * word + upper], in[column * 4 + t].b[word]);
        }
      }
      out[i] = sum;
    }
    std::memcpy(lanes[lane]->out, out, sizeof out);
  }
}

template <int words>
void resolve_mma_s8(LaneData* const lanes[32], unsigned) {
  multiply_fragments<int32_t>(lanes, words, [](uint32_t a, uint32_t b) {
    int32_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
    return sum;
  });
}

template <bool bf16>
void resolve_mma_16(LaneData* const lanes[32], unsigned) {
  multiply_fragments<float>(lanes, 2, [](uint32_t a, uint32_t b) {
    return element_16(a, 0, bf16) * element_16(b, 0, bf16) + element_16(a, 1, bf16) * element_16(b, 1, bf16);
  });
}

template <typename C>
void run_mma(C (&c)[4], const uint32_t* a, const uint32_t* b, const char* name, Resolve resolve) {
  MmaInput<C> input;
  std::memcpy(input.a, a, sizeof input.a);
  std::memcpy(input.b, b, sizeof input.b);
  std::memcpy(input.c, c, sizeof input.c);
  warp_operation(0xffffffffu, name, resolve, &input, sizeof input, c, sizeof c);
}

}  // namespace

void set_order(Order new_order) { order = new_order; }
const Thread& current() { return block.running->thread; }
const Shape& current_shape() { return block.shape; }
uint8_t* shared_memory() { return block.shared; }
void block_barrier() { leave(State::kAtBarrier); }

void warp_operation(unsigned mask, const char* name, Resolve resolve, const void* in, size_t in_bytes, void* out,
                    size_t out_bytes) {
  Fiber& fiber = *block.running;
  const auto index = static_cast<size_t>(&fiber - block.fibers.data());
  fiber.mask = mask;
  fiber.operation = name;
  fiber.resolve = resolve;
  if (in_bytes > 0) std::memcpy(fiber.data.in, in, in_bytes);
  fiber.state = State::kInWarp;
  resolve_warp(index / 32 * 32);
  if (fiber.state == State::kInWarp) switch_context(fiber.context, block.scheduler);
  if (out_bytes > 0) std::memcpy(out, fiber.data.out, out_bytes);
}

void copy_async(void* target, const void* source, bool valid) {
  block.running->open.push_back({target, source, valid});
}
void copy_async_commit() {
  block.running->groups.push_back(std::move(block.running->open));
  block.running->open.clear();
}
void copy_async_wait(int pending) {
  auto& groups = block.running->groups;
  while (groups.size() > static_cast<size_t>(pending)) {
    do_copies(groups.front());
    groups.erase(groups.begin());
  }
}

void fail(const char* text) {
  if (block.failure.empty()) block.failure = text;
  leave(State::kDone);
}

void resolve_sync(LaneData* const[32], unsigned) {}

void resolve_shuffle(LaneData* const lanes[32], unsigned mask) {
  for (int lane = 0; lane < 32; ++lane) {
    if (lanes[lane] == nullptr) continue;
    const int source = read_lane<ShuffleInput>(lanes[lane]->in).source;
    if ((mask >> source & 1u) == 0) {
      if (block.failure.empty()) block.failure = "a shuffle reads a lane that takes no part in it";
      continue;
    }
    const uint64_t bits = read_lane<ShuffleInput>(lanes[source]->in).bits;
    std::memcpy(lanes[lane]->out, &bits, sizeof bits);
  }
}

void resolve_ballot(LaneData* const lanes[32], unsigned) {
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (lanes[lane] != nullptr && read_lane<int>(lanes[lane]->in) != 0) result |= 1u << lane;
  }
  for (int lane = 0; lane < 32; ++lane) {
    if (lanes[lane] != nullptr) std::memcpy(lanes[lane]->out, &result, sizeof result);
  }
}

void mma_s8(int32_t (&c)[4], const uint32_t* a, const uint32_t* b, int k) {
  if (k == 16) {
    run_mma(c, a, b, "mma.m16n8k16.s8", resolve_mma_s8<1>);
  } else {
    run_mma(c, a, b, "mma.m16n8k32.s8", resolve_mma_s8<2>);
  }
}

void mma_16(float (&c)[4], const uint32_t* a, const uint32_t* b, bool bf16) {
  run_mma(c, a, b, bf16 ? "mma.m16n8k16.bf16" : "mma.m16n8k16.f16",
          bf16 ? resolve_mma_16<true> : resolve_mma_16<false>);
}

bool run(const char* what, const Shape& shape, const std::function<void()>& kernel, char* message, size_t capacity) {
  const SharedMemory shared(shape.shared_bytes);
  block.shape = shape;
  block.kernel = &kernel;
  block.shared = shared.data();
  block.failure.clear();
  const size_t count = size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  for (size_t step = 0; step < count; ++step) {
    const auto flat = static_cast<unsigned>(order == Order::kAscending ? step : count - 1 - step);
    const dim3 index = {flat % shape.grid.x, flat / shape.grid.x % shape.grid.y, flat / shape.grid.x / shape.grid.y};
    if (!run_block(index)) {
      std::snprintf(message, capacity, "%s: %s", what, block.failure.c_str());
      return false;
    }
  }
  return true;
}

}  // namespace fastserve::simt

namespace fastserve::kernels::cuda {

float half_bits_to_float(uint16_t bits) { return f16_to_float(bits); }
uint16_t float_to_half_bits(float value) { return float_to_f16(value); }

}  // namespace fastserve::kernels::cuda
