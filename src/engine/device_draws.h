// DeviceDraws: tokens drawn where the logits lie. Requests whose sampler a device knows (cuts, temperature, the draw)
// cost four bytes of copies a token; logits of all others come down and are drawn from, or scored, by the CPU. Which of
// the two depends on the request and its model alone, so that nobody's tokens depend on who shares the step. Engine
// thread only.
#pragma once
#include <array>
#include <bitset>
#include <optional>

#include "engine/batch.h"
#include "engine/device_step.h"

namespace fastserve {

class DeviceDraws {
 public:
  // What of `rows` is to be drawn now, is; the logits of the rest are sent to the host. `logits` has a row for each.
  void queue(DeviceStream& stream, DeviceStep& step, const Rows& logits, std::span<const LogitRow> rows);
  // Once the stream was waited for: the token of a row, or a DeviceSampleError. Nothing: its logits are on the host.
  std::optional<int32_t> token(const DeviceStep& step, size_t row) const {
    if (!is_drawn_[row]) return std::nullopt;
    return step.drawn(row);
  }

 private:
  std::bitset<DeviceStep::kHeadRowsMax> is_drawn_;
};

// Neither its text nor its log-probabilities are looked at on the way from logits to tokens.
bool draws_on_device(const Request& request);

}  // namespace fastserve
