// The pieces of a warm-up are those of any step.
#include "engine/warm_up.h"

#include <algorithm>

#include "base/os.h"

namespace fastserve {
namespace {

// Nobody has written there what is wanted yet.
void touch(uint8_t* address, uint64_t size_bytes) {
  const size_t page = os::page_size_bytes();
  for (uint64_t i = 0; i < size_bytes; i += page) *static_cast<volatile uint8_t*>(address + i) = 0;
}

}  // namespace

WarmUp::WarmUp(const kernels::KernelTable* kernels, bool exact)
    : executor_(create_serial_executor()), device_{kernels, executor_.get(), exact}, runner_(device_) {}

Result<std::unique_ptr<WarmUp>> WarmUp::create(std::shared_ptr<LoadedModel> model, const kernels::KernelTable* kernels,
                                               bool exact, const std::shared_ptr<OpenDevice>& device) {
  std::unique_ptr<WarmUp> warm_up(new WarmUp(kernels, exact));
  if (model->device_step != nullptr) {
    FSV_ASSIGN(warm_up->stream_, DeviceStream::open(device, kernels::DevicePriority::kLow));
    warm_up->device_.stream = warm_up->stream_.get();
  }
  Request& request = warm_up->request_;
  request.model = std::move(model);
  request.parameters.prompt = {0};
  request.parameters.max_tokens = 1;
  request.sequences.resize(1);
  Sequence& sequence = request.first();
  sequence.request = &request;
  sequence.tokens = request.parameters.prompt;
  KvCache& kv = request.model->kv;
  warm_up->batch_.reserve(1, 1);
  warm_up->runner_.reserve(1);
  if (!kv.admit(sequence.kv, 1, 1) || !kv.reserve(sequence.kv, 1)) return warm_up;  // no room: nothing to warm
  warm_up->batch_.begin(*request.model);
  warm_up->batch_.add(sequence, 1);
  warm_up->batch_.seal();
  warm_up->runner_.begin(warm_up->batch_);
  return warm_up;
}

WarmUp::~WarmUp() {
  runner_.stop();
  if (!request_.sequences.empty() && !request_.first().kv.groups.empty()) {
    request_.model->kv.release(request_.first().kv);
  }
}

bool WarmUp::touch_activations() {
  const Buffer& buffer = request_.model->workspace.buffer();
  const uint64_t left = buffer.size_bytes() - touched_bytes_, part = std::min(left, kTouchedBytes);
  touch(buffer.data() + touched_bytes_, part);
  touched_bytes_ += part;
  return part > 0;
}

// The block that the token goes to, one group of layers after the other.
bool WarmUp::touch_kv() {
  const std::vector<SequenceKv::Group>& groups = request_.first().kv.groups;
  if (!runner_.active() || touched_groups_ >= groups.size()) return false;
  const auto group = static_cast<int32_t>(touched_groups_);
  for (uint8_t* block : groups[touched_groups_++].addresses) {
    touch(block, static_cast<uint64_t>(request_.model->kv.pool(group).block_bytes()));
  }
  return true;
}

bool WarmUp::advance() {
  const bool is_host = stream_ == nullptr;  // a device's memory is there, and its kernels are loaded by their first use
  if (is_host && (touch_activations() || touch_kv())) return true;
  if (runner_.active()) (void)runner_.advance(INT32_MAX, is_host ? kHeadPanels : INT32_MAX);
  if (!runner_.active()) runner_.finish();
  return runner_.active();
}

}  // namespace fastserve
