// ModelDef: one family bound to one model's weights: its shape, the tensors it wants, and a forward pass cut at layers
// (embed, layer(i), head) so that a runner can stop between them. Immutable once loaded, used by the engine thread.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "blocks/forward_pass.h"
#include "formats/model_source.h"
#include "tensor/kv_shape.h"
#include "tensor/weight.h"

namespace fastserve {

enum class TensorRole : uint32_t { kMatrix = 0, kVector = 1 };

// A tensor that the family wants; the loader checks it, brings it in and fills *weight.
struct TensorSpec {
  std::string name;
  TensorRole role = TensorRole::kMatrix;
  int64_t rows = 0;  // of a matrix; length of a vector
  int64_t cols = 0;  // of a matrix
  Weight* weight = nullptr;
  bool required = true;
  int64_t stack = 1;     // matrices of a 3-D tensor, one after the other; each is packed to whole panels
  bool on_host = false;  // a vector that the family itself reads, in finish(): it stays in the host's memory
};

// Numbers that a family derives from its configuration and kernels read. The loader moves them to where the weights
// are, if that is elsewhere, and stores the new address.
struct DerivedVector {
  const std::vector<float>* values = nullptr;
  const float** address = nullptr;
};

// What the engine must know of any model.
struct ModelShape {
  int32_t layer_count = 0;
  int32_t hidden_size = 0;
  int32_t head_count = 0;
  int32_t kv_head_count = 0;
  int32_t vocabulary_size = 0;
  int32_t context_tokens = 0;     // trained for
  bool context_is_hard = false;   // no position beyond context_tokens exists (learned positions)
  bool has_logit_maxima = false;  // head() fills workspace.logit_maxima in
  std::vector<KvLayerShape> kv_layers;
  WorkspaceShape workspace;
};

// A part of the vocabulary, in panels of 16 words.
struct PanelRange {
  int32_t begin = 0, end = INT32_MAX;
};

class ModelDef {
 public:
  virtual ~ModelDef() = default;
  const ModelShape& shape() const { return shape_; }
  // The weights' addresses stay valid as long as the ModelDef.
  virtual std::vector<TensorSpec> tensors() = 0;
  // Once every weight has its address, layout and shape, though not yet its bytes: what stands in for what is absent.
  virtual void bind() {}
  // Once every tensor is in place: what remains to be derived or checked.
  virtual Status finish() { return {}; }
  // Known after finish(), whose addresses are the host's.
  virtual std::vector<DerivedVector> derived() { return {}; }

  virtual void embed(const ForwardPass& pass) const = 0;
  virtual void layer(const ForwardPass& pass, int32_t index) const = 0;
  // Logits of `row_count` chosen batch rows (`rows`: on a device in its memory, as the batch's ids are) into
  // workspace.logits: of the words in `panels` alone, whose parts together are the whole in any order; each begins at a
  // multiple of kernels::kLogitBlock words.
  virtual void head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, PanelRange panels = {}) const = 0;

 protected:
  ModelShape shape_;
};

// Reads a model's configuration; kUnsupported names an architecture that no family serves.
Result<std::unique_ptr<ModelDef>> create_model_def(const ModelSource& source);

}  // namespace fastserve
