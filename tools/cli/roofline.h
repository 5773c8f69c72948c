// How near a measured speed comes to what this machine's memory and arithmetic units allow.
#ifndef FASTSERVE_CLI_ROOFLINE_H
#define FASTSERVE_CLI_ROOFLINE_H

#include "fastserve.h"

namespace fastserve::cli {

struct Roofline {
  fsv_machine_ceilings ceilings{};
  double decode_bandwidth_share = 0;  // weight bytes read per second over the read bandwidth
  double prefill_int8_share = 0;      // weight multiply-adds, two operations each, over the int8 peak
  double prefill_bf16_share = 0;      // the same over the bf16 peak; 0 where there is none
};

// Speeds of one stream. Attention is not counted, so that the shares are lower bounds. `tied` says that the output
// head is the embedding table; if not, decoding does not read the embedding table as a whole.
Roofline roofline_of(const fsv_machine_ceilings& ceilings, const fsv_model_info& info, bool tied,
                     double prefill_tokens_per_second, double decode_tokens_per_second);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_ROOFLINE_H
