// Bytes and operations per token, from the model's shape.
#include "roofline.h"

namespace fastserve::cli {

Roofline roofline_of(const fsv_machine_ceilings& ceilings, const fsv_model_info& info, bool tied,
                     double prefill_tokens_per_second, double decode_tokens_per_second) {
  Roofline roofline;
  roofline.ceilings = ceilings;
  const double parameters = static_cast<double>(info.parameter_count);
  const double weight_bytes = static_cast<double>(info.weight_bytes);
  const double table = static_cast<double>(info.vocabulary_size) * info.embedding_size;
  if (parameters <= 0) return roofline;
  // The file does not say here how many bytes the table takes: its share of the parameters stands for it.
  const double bytes_per_token = tied ? weight_bytes : weight_bytes * (1 - table / parameters);
  // Prefill multiplies every row by every matrix but the embedding and the head, which only the last row needs.
  const double multiply_adds = parameters - (tied ? table : 2 * table);
  if (ceilings.read_bytes_per_second > 0) {
    roofline.decode_bandwidth_share = decode_tokens_per_second * bytes_per_token / ceilings.read_bytes_per_second;
  }
  const double operations = 2 * multiply_adds * prefill_tokens_per_second;
  if (ceilings.int8_ops_per_second > 0) roofline.prefill_int8_share = operations / ceilings.int8_ops_per_second;
  if (ceilings.bf16_ops_per_second > 0) roofline.prefill_bf16_share = operations / ceilings.bf16_ops_per_second;
  return roofline;
}

}  // namespace fastserve::cli
