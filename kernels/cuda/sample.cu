// One draw from each row of logits, as the CPU's sampler draws: top-k, top-p and min-p on the model's own
// probabilities, then the temperature, then the inverse of the distribution in the order of ids at a Philox number. A
// block has a row. Cuts select without sorting: a histogram by distance from the largest logit, then digits of what
// lies in one bin. Sums are integers, so that no order of additions shows. Bound: a reading of the row for each pass (2
// to 8).
#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/launch.cuh"

namespace fastserve::kernels::cuda {
namespace {

using Key = unsigned long long;  // logit in the order of floats, above ~id: larger keys are drawn rather
using Mass = unsigned long long;
constexpr int kBins = kThreads;
constexpr int kListMax = 1024;
constexpr float kBinsOfUnit = 8.0f;  // bins of the first histogram are 1/8 wide

struct Room {
  Key list[kListMax];
  Mass masses[kBins];
  Mass scan[kWarps];
  Key best;
  unsigned counts[kBins];
  int list_count, chosen, bad;
  float floats[kWarps];
};

struct Row {
  const float* logits;
  int vocabulary;
  float best;  // the largest logit
  Key worst;   // what is left has keys from here on
};

__device__ __forceinline__ Key key_of(float logit, int id) {
  const uint32_t bits = __float_as_uint(logit == 0.0f ? 0.0f : logit);  // both zeros are one
  const uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
  return static_cast<Key>(ordered) << 32 | static_cast<uint32_t>(~id);
}
__device__ __forceinline__ float logit_of(Key key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  return __uint_as_float(ordered ^ ((ordered >> 31) != 0 ? 0x80000000u : 0xffffffffu));
}

// The CPU sampler's e^x for x <= 0, operation by operation.
__device__ __forceinline__ float exponential(float x) {
  const float biased = __fadd_rn(__fmul_rn(x, 1.44269504f), 12582912.0f);
  const float n = __fadd_rn(biased, -12582912.0f);
  const float r = __fadd_rn(__fadd_rn(x, -__fmul_rn(n, 0.693359375f)), -__fmul_rn(n, -2.12194440e-4f));
  float p = 1.0f / 5040.0f;
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 720.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 120.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 24.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 6.0f);
  p = __fadd_rn(__fmul_rn(p, r), 0.5f);
  const float e = __fadd_rn(__fadd_rn(__fmul_rn(__fmul_rn(p, r), r), r), 1.0f);
  const float power = __uint_as_float((__float_as_uint(biased) + 127u) << 23);
  return x > -87.0f ? __fmul_rn(e, power) : 0.0f;
}
// A weight in units of 2^-41: sums of four million stay below 2^63.
__device__ __forceinline__ Mass mass_of(float logit, float best, float scale) {
  return static_cast<Mass>(exponential(__fmul_rn(__fadd_rn(logit, -best), scale)) * 2199023255552.0f);
}

// Inclusive sums over the threads of a block.
__device__ Mass block_scan(Mass value, Room& room) {
  for (int step = 1; step < kWarp; step *= 2) {
    const Mass other = __shfl_up_sync(kAllLanes, value, step);
    if (lane_index() >= step) value += other;
  }
  if (lane_index() == kWarp - 1) room.scan[warp_index()] = value;
  __syncthreads();
  for (int warp = 0; warp < warp_index(); ++warp) value += room.scan[warp];
  __syncthreads();
  return value;
}
// The sum over a block, in every thread.
__device__ Mass block_total(Mass value, Room& room) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  if (lane_index() == 0) room.scan[warp_index()] = value;
  __syncthreads();
  Mass sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += room.scan[warp];
  __syncthreads();
  return sum;
}

template <typename F>
__device__ __forceinline__ void for_row(const Row& row, F&& f) {
  for (int id = static_cast<int>(threadIdx.x); id < row.vocabulary; id += kThreads) {
    const Key key = key_of(row.logits[id], id);
    if (key >= row.worst) f(key);
  }
}

__device__ Mass total_mass(const Row& row, float scale, Room& room) {
  Mass sum = 0;
  for_row(row, [&](Key key) { sum += mass_of(logit_of(key), row.best, scale); });
  return block_total(sum, room);
}

// The largest key; false where a logit is NaN or +inf.
__device__ bool find_best(const float* logits, int vocabulary, Key& best, Room& room) {
  if (threadIdx.x == 0) {
    room.best = 0;
    room.bad = 0;
  }
  __syncthreads();
  best = 0;
  bool bad = false;
  for (int id = static_cast<int>(threadIdx.x); id < vocabulary; id += kThreads) {
    const float logit = logits[id];
    bad |= !(logit <= 3.402823466e38f);
    const Key key = key_of(logit, id);
    best = key > best ? key : best;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const Key other = __shfl_xor_sync(kAllLanes, best, step);
    best = other > best ? other : best;
  }
  if (lane_index() == 0) atomicMax(&room.best, best);
  if (bad) atomicOr(&room.bad, 1);
  __syncthreads();
  best = room.best;
  return room.bad == 0;
}

__device__ __forceinline__ int bin_of(Key key, float best) {
  const float distance = (best - logit_of(key)) * kBinsOfUnit;
  return distance < static_cast<float>(kBins - 1) ? static_cast<int>(distance) : kBins - 1;
}

// What a cut keeps: the first `count`, or the shortest prefix of `mass`.
struct Wanted {
  bool by_mass;
  Mass amount;  // not 0
};

__device__ __forceinline__ void clear_bins(Room& room) {
  room.counts[threadIdx.x] = 0;
  room.masses[threadIdx.x] = 0;
  __syncthreads();
}
__device__ __forceinline__ void add_to_bin(Room& room, int bin, Key key, float best) {
  atomicAdd(&room.counts[bin], 1u);
  atomicAdd(&room.masses[bin], mass_of(logit_of(key), best, 1.0f));
}

// The bin in which the wanted amount is reached, bins in the order of threads; takes from `wanted` what is before it.
// -1: it is not reached.
__device__ int choose_bin(Room& room, Wanted& wanted) {
  if (threadIdx.x == 0) room.chosen = kBins;
  __syncthreads();
  const Mass own = wanted.by_mass ? room.masses[threadIdx.x] : room.counts[threadIdx.x];
  const Mass sum = block_scan(own, room);
  const bool reached = room.counts[threadIdx.x] != 0 && sum >= wanted.amount;
  if (reached) atomicMin(&room.chosen, static_cast<int>(threadIdx.x));
  __syncthreads();
  const int chosen = room.chosen;
  if (static_cast<int>(threadIdx.x) == chosen) room.scan[0] = sum - own;
  __syncthreads();
  if (chosen < kBins) wanted.amount -= room.scan[0];
  __syncthreads();
  return chosen < kBins ? chosen : -1;
}

// Of the keys in the list the one at which the wanted amount is reached: every thread ranks some of them.
__device__ Key select_listed(Room& room, int count, const Row& row, const Wanted& wanted) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const Key own = room.list[i];
    Mass before = 0;
    for (int other = 0; other < count; ++other) {
      const Key key = room.list[other];
      if (key > own) before += wanted.by_mass ? mass_of(logit_of(key), row.best, 1.0f) : 1;
    }
    const Mass amount = wanted.by_mass ? mass_of(logit_of(own), row.best, 1.0f) : 1;
    if (before < wanted.amount && before + amount >= wanted.amount) room.best = own;
  }
  __syncthreads();
  const Key found = room.best;
  __syncthreads();
  return found;
}

// The same for more keys of a bin than the list holds, by all of their digits: a prefix alone might hold keys of the
// next bins too.
__device__ Key select_digits(Room& room, int bin, const Row& row, Wanted wanted) {
  Key prefix = 0;
  for (int shift = 56; shift >= 0; shift -= 8) {
    clear_bins(room);
    for_row(row, [&](Key key) {
      if (bin_of(key, row.best) != bin) return;
      if (shift < 56 && (key >> (shift + 8)) != (prefix >> (shift + 8))) return;
      add_to_bin(room, kBins - 1 - static_cast<int>(key >> shift & 255), key, row.best);  // large digits first
    });
    __syncthreads();
    const int digit = choose_bin(room, wanted);
    if (digit < 0) return row.worst;  // cannot be: the bin reaches the amount
    prefix |= static_cast<Key>(kBins - 1 - digit) << shift;
  }
  return prefix;
}

// The smallest key that the cut keeps.
__device__ Key select(const Row& row, Wanted wanted, Room& room) {
  clear_bins(room);
  for_row(row, [&](Key key) { add_to_bin(room, bin_of(key, row.best), key, row.best); });
  __syncthreads();
  const int bin = choose_bin(room, wanted);
  if (bin < 0) return row.worst;
  const auto in_bin = static_cast<int>(room.counts[bin]);
  if (threadIdx.x == 0) room.list_count = 0;
  __syncthreads();
  const bool listed = in_bin <= kListMax;
  if (listed) {
    for_row(row, [&](Key key) {
      if (bin_of(key, row.best) == bin) room.list[atomicAdd(&room.list_count, 1)] = key;
    });
    __syncthreads();
  }
  return listed ? select_listed(room, in_bin, row, wanted) : select_digits(room, bin, row, wanted);
}

__device__ Key min_p_bound(float best, float min_p) {
  const double bound = static_cast<double>(best) + log(static_cast<double>(min_p));
  auto threshold = static_cast<float>(bound);
  if (static_cast<double>(threshold) < bound) threshold = nextafterf(threshold, INFINITY);
  threshold = fminf(threshold, best);
  return key_of(threshold, -1);  // any id
}

// Philox4x32-10 (Salmon et al., SC 2011) as the CPU's sampler uses it: uniform in [0, 1), 53 bits.
__device__ double uniform(uint64_t seed, uint64_t draw_index, uint32_t stream) {
  uint32_t c[4] = {static_cast<uint32_t>(draw_index), static_cast<uint32_t>(draw_index >> 32), 0u, stream};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(0xD2511F53u, c[0]), low0 = 0xD2511F53u * c[0];
    const uint32_t high1 = __umulhi(0xCD9E8D57u, c[2]), low1 = 0xCD9E8D57u * c[2];
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const uint64_t bits = (static_cast<uint64_t>(c[1]) << 32 | c[0]) >> 11;
  return static_cast<double>(bits) * 1.1102230246251565e-16;  // 2^-53
}

// Walks masses in the order of ids until their sum passes `uniform` of the whole. Warps have runs of ids.
__device__ int draw(const Row& row, float scale, double number, Room& room) {
  const int run = (row.vocabulary + kThreads - 1) / kThreads * kWarp;  // whole rounds of a warp
  const int begin = warp_index() * run, end = begin + run < row.vocabulary ? begin + run : row.vocabulary;
  const auto mass_at = [&](int id) {
    if (id >= end) return Mass{0};
    const Key key = key_of(row.logits[id], id);
    return key >= row.worst ? mass_of(row.logits[id], row.best, scale) : Mass{0};
  };
  Mass sum = 0;
  for (int id = begin + lane_index(); id - lane_index() < end; id += kWarp) sum += mass_at(id);
  for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  if (lane_index() == 0) room.scan[warp_index()] = sum;
  if (threadIdx.x == 0) room.chosen = -1;
  __syncthreads();
  Mass total = 0, before = 0;
  for (int warp = 0; warp < kWarps; ++warp) total += room.scan[warp];
  for (int warp = 0; warp < warp_index(); ++warp) before += room.scan[warp];
  Mass target = static_cast<Mass>(number * static_cast<double>(total));
  if (target >= total) target = total - 1;
  if (before <= target && target < before + sum) {  // one warp; all its lanes alike
    for (int first = begin; first < end; first += kWarp) {
      Mass reached = mass_at(first + lane_index());
      for (int step = 1; step < kWarp; step *= 2) {
        const Mass other = __shfl_up_sync(kAllLanes, reached, step);
        if (lane_index() >= step) reached += other;
      }
      const unsigned past = __ballot_sync(kAllLanes, before + reached > target ? 1 : 0);
      if (past != 0) {
        if (lane_index() == 0) room.chosen = first + __ffs(static_cast<int>(past)) - 1;
        break;
      }
      before += __shfl_sync(kAllLanes, reached, kWarp - 1);
    }
  }
  __syncthreads();
  return room.chosen;
}

// log of the sum of e^logit over a raw row.
__device__ double log_total(const float* logits, int vocabulary, float best, Room& room) {
  float sum = 0.0f;
  for (int id = static_cast<int>(threadIdx.x); id < vocabulary; id += kThreads) sum += expf(logits[id] - best);
  return static_cast<double>(best) + log(static_cast<double>(block_sum(sum, room.floats)));
}

__device__ int cut_and_draw(Row& row, const DeviceSampleRow& p, Room& room) {
  if (p.top_k > 0 && p.top_k < row.vocabulary) {
    row.worst = select(row, {false, static_cast<Mass>(p.top_k)}, room);
  }
  if (p.top_p < 1.0f) {
    const double mass = static_cast<double>(p.top_p) * static_cast<double>(total_mass(row, 1.0f, room));
    const Mass amount = static_cast<Mass>(ceil(mass));
    row.worst = select(row, {true, amount > 0 ? amount : 1}, room);
  }
  if (p.min_p > 0.0f) {
    const Key bound = min_p_bound(row.best, p.min_p);
    row.worst = bound > row.worst ? bound : row.worst;
  }
  const auto scale = static_cast<float>(1.0 / static_cast<double>(p.temperature));
  return draw(row, scale, uniform(p.seed, p.draw_index, p.stream), room);
}

__global__ void __launch_bounds__(kThreads) sample_kernel(DeviceSampleArgs args) {
  constexpr float kTemperatureMin = 1e-20f;  // below: greedy
  Room& room = *reinterpret_cast<Room*>(shared_memory());
  const DeviceSampleRow p = args.parameters[blockIdx.x];
  float* logits = args.logits + blockIdx.x * args.stride;
  Key best;
  int token = kDeviceSampleNone;
  double raw_total = 0.0;
  bool finite = true;
  if (args.logprobs != nullptr) {
    finite = find_best(logits, args.vocabulary, best, room);
    raw_total = log_total(logits, args.vocabulary, logit_of(best), room);
  }
  for (uint32_t i = threadIdx.x; i < p.banned_count; i += kThreads) {
    const int32_t id = args.banned[p.banned_begin + i];
    if (id >= 0 && id < args.vocabulary) logits[id] = -INFINITY;
  }
  __syncthreads();
  finite = find_best(logits, args.vocabulary, best, room) && finite;
  const float largest = logit_of(best);
  if (!finite) {
    token = kDeviceSampleNotFinite;
  } else if (largest > -INFINITY) {
    Row row = {logits, args.vocabulary, largest, key_of(-3.402823466e38f, -1)};
    token =
        p.temperature < kTemperatureMin ? static_cast<int>(~static_cast<uint32_t>(best)) : cut_and_draw(row, p, room);
  }
  if (threadIdx.x != 0) return;
  args.token_ids[blockIdx.x] = token;
  if (args.logprobs != nullptr) {
    args.logprobs[blockIdx.x] =
        token < 0 ? -INFINITY : static_cast<float>(static_cast<double>(logits[token]) - raw_total);
  }
}

}  // namespace

DeviceResult sample(DeviceQueue* queue, const DeviceSampleArgs* args, DeviceMessage* message) {
  constexpr int32_t kVocabularyMax = 1 << 22;
  if (args->vocabulary < 1 || args->vocabulary > kVocabularyMax) {
    return invalid(message, "sample: a vocabulary of 1 to 4194304 tokens");
  }
  return launch(queue, "sample", sample_kernel, {args->rows}, sizeof(Room), message, *args);
}

}  // namespace fastserve::kernels::cuda
