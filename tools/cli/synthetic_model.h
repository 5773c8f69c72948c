// A model without a file: the shape of a known one, with made-up weights and vocabulary, as a GGUF file that is written
// while it is read. For measuring: speed depends on shapes and types alone.
#ifndef FASTSERVE_CLI_SYNTHETIC_MODEL_H
#define FASTSERVE_CLI_SYNTHETIC_MODEL_H

#include <cstdint>
#include <string>
#include <vector>

#include "fastserve.h"

namespace fastserve::cli {

std::vector<std::string> synthetic_shapes();  // what --shape takes
std::vector<std::string> synthetic_dtypes();  // what --dtype takes

// Must outlive every load that reads it. Threads may read at once.
class SyntheticModel {
 public:
  SyntheticModel(const std::string& shape, const std::string& dtype);  // names of the lists above
  const std::string& name() const { return name_; }
  bool head_is_tied() const { return is_tied_; }
  // For fsv_load_config; opens under any path.
  const fsv_io* io() const { return &io_; }

 private:
  struct Tensor {
    uint64_t begin, end;  // in the file
    bool is_vector;
  };
  static fsv_status open(void* context, const char* name, size_t name_size, void** file, uint64_t* size_bytes);
  static fsv_status read_at(void* context, void* file, uint64_t offset, void* buffer, size_t size_bytes);
  void read_tensor(const Tensor& tensor, uint64_t offset, uint8_t* out, uint64_t count) const;

  std::string name_;
  bool is_tied_ = false;
  std::vector<uint8_t> head_;     // all before the tensors' bytes
  std::vector<Tensor> tensors_;   // in order, without gaps but for alignment
  std::vector<uint8_t> pattern_;  // matrices repeat it: whole blocks of their type
  uint64_t size_bytes_ = 0;
  fsv_io io_{};
};

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_SYNTHETIC_MODEL_H
