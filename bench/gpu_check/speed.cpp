// Timing by the host's clock around graphs that take milliseconds.
#include "gpu_check/speed.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "gpu_check/real_device.h"
#include "kernels/packed_layout.h"

namespace fastserve::test {
namespace {

using kernels::DeviceKernels;
using kernels::DeviceMatmulArgs;
using kernels::DeviceMessage;
using kernels::DeviceResult;
using kernels::PackedLayout;
using kernels::PackedMatrix;

struct ModelShape {
  const char* name;
  int64_t hidden, wide, q, kv;
};
constexpr ModelShape kShapes[] = {
    {"0.6B", 1024, 3072, 2048, 1024}, {"1B", 2048, 8192, 2048, 512}, {"8B", 4096, 14336, 4096, 1024}};
struct LayoutName {
  const char* name;
  PackedLayout layout;
};
constexpr LayoutName kLayouts[] = {{"bf16", PackedLayout::kBF16},
                                   {"q8", PackedLayout::kQ8},
                                   {"q4", PackedLayout::kQ4},
                                   {"q4k", PackedLayout::kQ4K},
                                   {"q6k", PackedLayout::kQ6K}};

// Device memory that is filled with one byte: weights and activations that are numbers.
class Filled {
 public:
  Filled(uint64_t size_bytes, uint8_t byte) {
    const RealDevice& device = RealDevice::instance();
    DeviceMessage message = {};
    if (device.api().allocate(device.context(), size_bytes, &data_, &message) != DeviceResult::kOk)
      throw std::bad_alloc();
    (void)device.api().fill(device.queue(), data_, byte, size_bytes, &message);
  }
  ~Filled() {
    if (data_ != nullptr) RealDevice::instance().api().release(RealDevice::instance().context(), data_);
  }
  Filled(const Filled&) = delete;
  Filled& operator=(const Filled&) = delete;
  uint8_t* bytes() const { return static_cast<uint8_t*>(data_); }
  float* floats() const { return static_cast<float*>(data_); }

 private:
  void* data_ = nullptr;
};

// The products of one layer, one after the other in the weights' memory.
class Layer {
 public:
  Layer(const ModelShape& shape, PackedLayout layout) : shape_(shape) {
    const int64_t sizes[kWeights][2] = {
        {shape.q, shape.hidden},    {shape.kv, shape.hidden},   {shape.kv, shape.hidden},  {shape.hidden, shape.q},
        {shape.wide, shape.hidden}, {shape.wide, shape.hidden}, {shape.hidden, shape.wide}};
    for (int i = 0; i < kWeights; ++i) {
      PackedMatrix& w = weights_[i];
      w = {nullptr, layout, 0, sizes[i][0], sizes[i][1], kernels::layout_panel_bytes(layout, sizes[i][1])};
      offsets_[i] = size_bytes_;
      size_bytes_ += static_cast<uint64_t>((w.rows + 15) / 16 * w.panel_bytes + 255) / 256 * 256;
    }
  }
  uint64_t size_bytes() const { return size_bytes_; }
  void place(uint8_t* memory) {
    for (int i = 0; i < kWeights; ++i) weights_[i].data = memory + offsets_[i];
  }
  // Queues the layer for m rows.
  DeviceResult run(int64_t m, float* rows, kernels::DeviceScratch scratch, DeviceMessage* message) const {
    const int64_t width = std::max(shape_.wide, shape_.q + 2 * shape_.kv);
    float* narrow = rows;
    float* wide = rows + m * width;
    DeviceMatmulArgs qkv = product(narrow, shape_.hidden, m, 0, 3, wide, scratch);
    qkv.input.prologue = kernels::DevicePrologue::kRmsNorm;
    DeviceMatmulArgs out = product(wide, shape_.q, m, 3, 1, narrow, scratch);
    out.outputs[0].epilogue = kernels::Epilogue::kAdd;
    DeviceMatmulArgs gate = product(narrow, shape_.hidden, m, 4, 2, wide, scratch);
    gate.input.prologue = kernels::DevicePrologue::kRmsNorm;
    gate.gates_outputs = 1;
    DeviceMatmulArgs down = product(wide, shape_.wide, m, 6, 1, narrow, scratch);
    down.outputs[0].epilogue = kernels::Epilogue::kAdd;
    for (const DeviceMatmulArgs* args : {&qkv, &out, &gate, &down}) {
      const DeviceResult result = device_kernels().matmul(device_queue(), args, message);
      if (result != DeviceResult::kOk) return result;
    }
    return DeviceResult::kOk;
  }
  double operations(int64_t m) const {
    double sum = 0;
    for (const PackedMatrix& w : weights_) sum += 2.0 * static_cast<double>(w.rows * w.cols * m);
    return sum;
  }

 private:
  static constexpr int kWeights = 7;
  DeviceMatmulArgs product(float* input, int64_t cols, int64_t m, int first, int count, float* output,
                           kernels::DeviceScratch scratch) const {
    DeviceMatmulArgs args = {};
    args.input.rows = input;
    args.input.stride = args.input.cols = cols;
    args.input.m = m;
    args.input.eps = 1e-5f;
    args.scratch = scratch;
    for (int i = 0; i < count; ++i) {
      const PackedMatrix& w = weights_[first + i];
      args.outputs[args.output_count++] = {&w, output, w.rows, nullptr, kernels::Epilogue::kStore, 0, INT64_MAX};
      output += m * w.rows;
    }
    return args;
  }

  ModelShape shape_;
  PackedMatrix weights_[kWeights];
  uint64_t offsets_[kWeights] = {};
  uint64_t size_bytes_ = 0;
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The median time of what `queue_work` queues, once captured.
template <typename Queue>
double median_seconds(Queue&& queue_work, DeviceMessage* message) {
  const RealDevice& device = RealDevice::instance();
  const kernels::DeviceApi& api = device.api();
  kernels::DeviceGraph* graph = nullptr;
  // Once without recording: code is loaded when it first runs.
  if (queue_work() != DeviceResult::kOk || api.wait(device.queue(), message) != DeviceResult::kOk) return -1;
  if (api.begin_capture(device.queue(), message) != DeviceResult::kOk) return -1;
  const DeviceResult queued = queue_work();
  if (api.end_capture(device.queue(), &graph, message) != DeviceResult::kOk || queued != DeviceResult::kOk) return -1;
  std::vector<double> times;
  for (int round = 0; round < 12; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    if (api.launch_graph(device.queue(), graph, message) != DeviceResult::kOk ||
        api.wait(device.queue(), message) != DeviceResult::kOk) {
      times.clear();
      break;
    }
    if (round >= 2) times.push_back(seconds_since(begin));
  }
  api.close_graph(graph);
  if (times.empty()) return -1;
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Layers of `shape` for m rows; seconds for one of them, or < 0.
double layer_seconds(const ModelShape& shape, PackedLayout layout, int64_t m, std::string& failure) {
  constexpr uint64_t kScratchBytes = 512ULL << 20;
  const uint64_t beyond_caches = 8ULL * RealDevice::instance().facts().l2_bytes;
  Layer layer(shape, layout);
  const uint64_t copies = m > 64 ? 1 : std::max<uint64_t>(8, beyond_caches / layer.size_bytes() + 1);
  const Filled weights(layer.size_bytes() * copies, 0x11), scratch(kScratchBytes, 0);
  const int64_t width = std::max(2 * shape.wide, shape.q + 2 * shape.kv);
  const Filled rows(static_cast<uint64_t>(2 * m * width * 4), 0x3d);
  DeviceMessage message = {};
  const double seconds = median_seconds(
      [&] {
        for (uint64_t copy = 0; copy < copies; ++copy) {
          layer.place(weights.bytes() + copy * layer.size_bytes());
          const DeviceResult result = layer.run(m, rows.floats(), {scratch.bytes(), kScratchBytes}, &message);
          if (result != DeviceResult::kOk) return result;
        }
        return DeviceResult::kOk;
      },
      &message);
  if (seconds < 0) failure = std::string(shape.name) + ": " + message.text;
  return seconds / static_cast<double>(copies);
}

}  // namespace

std::vector<Measurement> measure_speed(std::string& failure) {
  std::vector<Measurement> found;
  const auto bandwidth = static_cast<double>(RealDevice::instance().facts().bandwidth_bytes_per_second);
  for (const ModelShape& shape : kShapes) {
    for (const LayoutName& layout : kLayouts) {
      const Layer layer(shape, layout.layout);
      for (const int64_t m : {1, 4, 16, 64}) {
        const double seconds = layer_seconds(shape, layout.layout, m, failure);
        if (!failure.empty()) return found;
        const double rate = static_cast<double>(layer.size_bytes()) / seconds;
        found.push_back({std::string("products ") + shape.name + " " + layout.name + " rows " + std::to_string(m),
                         rate / 1e9, "GB/s", bandwidth > 0 ? rate / bandwidth : 0});
      }
      for (const int64_t m : {512, 2048}) {
        const double seconds = layer_seconds(shape, layout.layout, m, failure);
        if (!failure.empty()) return found;
        found.push_back({std::string("prefill ") + shape.name + " " + layout.name + " rows " + std::to_string(m),
                         layer.operations(m) / seconds / 1e12, "TOP/s", 0});
      }
    }
  }
  return found;
}

long long leaked_bytes(int cycles, std::string& failure) {
  const RealDevice& device = RealDevice::instance();
  const kernels::DeviceApi& api = device.api();
  DeviceMessage message = {};
  std::mt19937 random(1);
  std::uniform_int_distribution<size_t> sizes(1, 32u << 20);
  unsigned long long before = 0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    if (cycle == cycles / 10) before = device.describe().memory_available_bytes;  // caches of the driver are warm
    void* memory = nullptr;
    const size_t size_bytes = sizes(random);
    if (api.allocate(device.context(), size_bytes, &memory, &message) != DeviceResult::kOk ||
        api.fill(device.queue(), memory, 1, size_bytes, &message) != DeviceResult::kOk ||
        api.wait(device.queue(), &message) != DeviceResult::kOk) {
      failure = message.text;
      return 0;
    }
    api.release(device.context(), memory);
  }
  return static_cast<long long>(before) - static_cast<long long>(device.describe().memory_available_bytes);
}

}  // namespace fastserve::test
