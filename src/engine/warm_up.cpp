// The pieces of a warm-up are those of any step.
#include "engine/warm_up.h"

namespace fastserve {

WarmUp::WarmUp(const kernels::KernelTable* kernels, bool exact)
    : executor_(create_serial_executor()), device_{kernels, executor_.get(), exact}, runner_(device_) {}

Result<std::unique_ptr<WarmUp>> WarmUp::create(std::shared_ptr<LoadedModel> model, const kernels::KernelTable* kernels,
                                               bool exact) {
  std::unique_ptr<WarmUp> warm_up(new WarmUp(kernels, exact));
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
  if (!request_.sequences.empty() && !request_.first().kv.groups.empty()) {
    request_.model->kv.release(request_.first().kv);
  }
}

bool WarmUp::advance() {
  if (runner_.active()) (void)runner_.advance();
  return runner_.active();
}

}  // namespace fastserve
